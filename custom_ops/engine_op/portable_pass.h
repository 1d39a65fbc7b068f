// The graph pass that puts engine ops in the places of a portable model's calls.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_PASS_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_PASS_H_

namespace tf_blade {

// Has TensorFlow run the pass on every graph and function that it prepares from now on.
void RegisterPortablePass();

// As often as it was told to pause, the pass must be told to resume before it puts engine ops in again. What is
// prepared in between stays plain TensorFlow.
void PausePortablePass();
void ResumePortablePass();

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_PASS_H_
