// TensorRT's headers, and which libraries they fit.
#ifndef TF_BLADE_CUSTOM_OPS_TENSORRT_NVINFER_H_
#define TF_BLADE_CUSTOM_OPS_TENSORRT_NVINFER_H_

#include <NvInferRuntime.h>

#include <memory>

#include "custom_ops/tensorrt/plan_data.h"

namespace tf_blade {

#ifdef TRT_MAJOR_RTX
constexpr Flavor kHeadersFlavor = Flavor::kTensorRtRtx;
#else
constexpr Flavor kHeadersFlavor = Flavor::kTensorRt;
#endif
constexpr int kHeadersMajor = NV_TENSORRT_MAJOR;

using RuntimePtr = std::unique_ptr<nvinfer1::IRuntime>;
using EnginePtr = std::unique_ptr<nvinfer1::ICudaEngine>;
using RefitterPtr = std::unique_ptr<nvinfer1::IRefitter>;
using ExecutionContextPtr = std::unique_ptr<nvinfer1::IExecutionContext>;

// TensorFlow's number of a type, or -1; and the other way round, where false says that there is none.
int32_t FromPlanType(nvinfer1::DataType type);
bool ToPlanType(int32_t dtype, nvinfer1::DataType* type);
size_t ElementBytes(int32_t dtype);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_TENSORRT_NVINFER_H_
