// Portable models: calls of subgraphs that carry engines as attributes, which plain TensorFlow runs as the calls they
// are.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_PASS_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_PASS_H_

namespace tf_blade {

// Has TensorFlow put engine ops in the places of such calls, in every graph and function that it prepares from now on.
void RegisterPortablePass();

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_PASS_H_
