// A graph pass for engine ops that TensorFlow could not place.
//
// TensorFlow puts an op beside the variables that it reads, and refuses a graph where these are on several devices:
// float variables on a GPU and int32 ones on a CPU, say. Calls of functions are exempt, since their bodies can be
// divided. So an engine op with such variables becomes a call of its fallback.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_PLACEMENT_PASS_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_PLACEMENT_PASS_H_

namespace tf_blade {

// Called once, before any graph is prepared.
void RegisterPlacementPass();

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_PLACEMENT_PASS_H_
