// Portable models: calls of subgraphs that carry engines as attributes, which plain TensorFlow runs as the calls they
// are. Here: one such call, and the engine op that takes its place.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_CALL_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_CALL_H_

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/function.pb.h"
#include "tensorflow/core/framework/node_def.pb.h"

namespace tf_blade {

// Whether a node is meant as a call with engines. Nothing is said of its attributes.
bool IsPortableCall(const tensorflow::NodeDef& node);

// What is wrong with the attributes of such a call; empty when an engine op can be made of it.
std::string DamageOf(const tensorflow::NodeDef& call);

// Whether XLA compiles what has these attributes, a call or a function, with all that it calls.
bool IsCompiled(const google::protobuf::Map<std::string, tensorflow::AttrValue>& attrs);

// The engine files that it carries, uncopied; none where they are damaged.
std::vector<absl::string_view> EnginesOf(const tensorflow::NodeDef& call);

// The engine op in the place of an undamaged call.
tensorflow::NodeDef EngineNode(const tensorflow::NodeDef& call);

// The other way round: the plain call of an engine op's fallback, in the op's place. Not for one that finds variables
// by their names.
bool CanBeCall(const tensorflow::NodeDef& engine);
tensorflow::NodeDef FallbackCall(const tensorflow::NodeDef& engine);

// A function with engine ops in the places of the calls of these names.
tensorflow::FunctionDef WithEngines(const tensorflow::FunctionDef& function, const std::set<std::string>& calls);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_CALL_H_
