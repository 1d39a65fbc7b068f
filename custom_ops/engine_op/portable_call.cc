#include "custom_ops/engine_op/portable_call.h"

#include "custom_ops/engine_op/engine_attr.h"

namespace tf_blade {
namespace {

using tensorflow::AttrValue;
using tensorflow::FunctionDef;
using tensorflow::NodeDef;
using AttrMap = google::protobuf::Map<std::string, AttrValue>;

constexpr char kEngines[] = "_blade_engines";
constexpr char kCluster[] = "_blade_cluster";

// The attribute; null where there is none of this kind.
const AttrValue* FindAttr(const AttrMap& attrs, const char* name, AttrValue::ValueCase kind) {
  const auto found = attrs.find(name);
  return found != attrs.end() && found->second.value_case() == kind ? &found->second : nullptr;
}

// A function's body names tensors by the op's outputs, "call:output:0", of which the engine op's has another name.
void Rename(const std::set<std::string>& calls, std::string* tensor) {
  constexpr absl::string_view kCallsOutput = ":output:";
  const size_t colon = tensor->find(':');
  if (colon == std::string::npos || calls.count(tensor->substr(0, colon)) == 0) return;
  if (absl::string_view(*tensor).substr(colon, kCallsOutput.size()) != kCallsOutput) return;
  tensor->replace(colon, kCallsOutput.size(), ":outputs:");
}

// TensorFlow keeps int32 of functions in the machine's memory, and so does what takes a call's place.
void KeepOnMachine(const char* name, const AttrValue& types, AttrMap* attrs) {
  AttrValue places;
  for (int i = 0; i < types.list().type_size(); ++i) {
    if (types.list().type(i) == tensorflow::DT_INT32) places.mutable_list()->add_i(i);
  }
  attrs->erase(name);
  if (places.has_list()) (*attrs)[name] = places;
}

}  // namespace

bool IsPortableCall(const NodeDef& node) {
  return node.op() == "StatefulPartitionedCall" && node.attr().count(kEngines) > 0;
}

std::string DamageOf(const NodeDef& call) {
  const AttrMap& attrs = call.attr();
  const AttrValue* const engines = FindAttr(attrs, kEngines, AttrValue::kList);
  if (engines == nullptr || engines->list().s_size() == 0) return "_blade_engines is no list of engine files";
  const AttrValue* const function = FindAttr(attrs, "f", AttrValue::kFunc);
  if (function == nullptr || function->func().name().empty()) return "f names no function";
  for (const char* types : {"Tin", "Tout"}) {
    if (FindAttr(attrs, types, AttrValue::kList) == nullptr) return std::string(types) + " is no list of types";
  }
  return "";
}

bool IsCompiled(const AttrMap& attrs) {
  // The marks of XLA's older interface.
  for (const char* mark : {"_xla_compile_id", "_tpu_replicate"}) {
    if (attrs.count(mark) > 0) return true;
  }
  const AttrValue* const compiled = FindAttr(attrs, "_XlaMustCompile", AttrValue::kB);
  return compiled != nullptr && compiled->b();
}

std::vector<absl::string_view> EnginesOf(const NodeDef& call) {
  return EngineFilesOf(FindAttr(call.attr(), kEngines, AttrValue::kList));
}

bool CanBeCall(const NodeDef& engine) {
  const auto variables = engine.attr().find("variables");
  return engine.attr().count("fallback") > 0 &&
         (variables == engine.attr().end() || variables->second.list().s_size() == 0);
}

NodeDef FallbackCall(const NodeDef& engine) {
  NodeDef node;
  node.set_name(engine.name());
  node.set_op("StatefulPartitionedCall");
  node.set_device(engine.device());
  *node.mutable_input() = engine.input();
  auto& attrs = *node.mutable_attr();
  for (const auto& [name, value] : engine.attr()) {
    if (name == "Tin" || name == "Tout" || name[0] == '_') attrs[name] = value;
    if (name == "fallback") attrs["f"] = value;
  }
  for (const char* name : {"config", "config_proto", "executor_type"}) attrs[name].set_s("");
  if (engine.has_experimental_debug_info()) *node.mutable_experimental_debug_info() = engine.experimental_debug_info();
  return node;
}

NodeDef EngineNode(const NodeDef& call) {
  NodeDef node;
  node.set_name(call.name());
  node.set_op("BladeEngineOp");
  node.set_device(call.device());
  *node.mutable_input() = call.input();
  auto& attrs = *node.mutable_attr();
  for (const auto& [name, value] : call.attr()) {
    if (name == "Tin" || name == "Tout") attrs[name] = value;
    if (name == "f") attrs["fallback"] = value;
    // Nothing but its strings: another list would make the node invalid.
    if (name == kEngines) *attrs["engines"].mutable_list()->mutable_s() = value.list().s();
    if (name == kCluster && value.value_case() == AttrValue::kS) attrs["cluster"] = value;
    // Colocation, for one.
    if (name[0] == '_' && name != kEngines && name != kCluster) attrs[name] = value;
  }
  KeepOnMachine("_input_hostmem", call.attr().at("Tin"), &attrs);
  KeepOnMachine("_output_hostmem", call.attr().at("Tout"), &attrs);
  if (call.has_experimental_debug_info()) *node.mutable_experimental_debug_info() = call.experimental_debug_info();
  return node;
}

FunctionDef WithEngines(const FunctionDef& function, const std::set<std::string>& calls) {
  FunctionDef changed = function;
  for (NodeDef& node : *changed.mutable_node_def()) {
    if (calls.count(node.name()) > 0) node = EngineNode(node);
    for (std::string& input : *node.mutable_input()) Rename(calls, &input);
  }
  for (auto& result : *changed.mutable_ret()) Rename(calls, &result.second);
  return changed;
}

}  // namespace tf_blade
