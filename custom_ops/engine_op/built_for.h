// Which TensorFlow the op is made for.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_BUILT_FOR_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_BUILT_FOR_H_

namespace tf_blade {

// The version that the op library was compiled against, e.g. "2.21.0"; empty where TensorFlow is compiled together with
// the op, so that they fit.
const char* TensorFlowBuiltFor();

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_BUILT_FOR_H_
