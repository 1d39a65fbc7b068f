// Registers BladeEngineOp with TensorFlow, or says clearly why not.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_REGISTRATION_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_REGISTRATION_H_

#include "tensorflow/core/framework/op_kernel.h"

namespace tf_blade {

// The kernel's factory, in blade_engine_op.cc.
tensorflow::OpKernel* MakeBladeEngineOp(tensorflow::OpKernelConstruction* ctx);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_REGISTRATION_H_
