// The engine kind "tensorrt": plans of TensorRT and TensorRT-RTX, run by the library that is installed, if it is.
#ifndef TF_BLADE_CUSTOM_OPS_TENSORRT_TENSORRT_ENGINE_H_
#define TF_BLADE_CUSTOM_OPS_TENSORRT_TENSORRT_ENGINE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "custom_ops/runtime/engine.h"
#include "custom_ops/runtime/engine_file.h"

namespace tf_blade {

inline constexpr char kTensorRtBackend[] = "tensorrt";

// Loads the file's plan for the GPU that the process sees first.
absl::StatusOr<std::unique_ptr<Engine>> LoadTensorRtEngine(const EngineFile& file);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_TENSORRT_TENSORRT_ENGINE_H_
