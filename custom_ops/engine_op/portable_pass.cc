#include "custom_ops/engine_op/portable_pass.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "custom_ops/runtime/environment.h"
#include "tensorflow/core/common_runtime/optimization_registry.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/graph/graph.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow/core/util/device_name_utils.h"

namespace tf_blade {
namespace {

using tensorflow::AttrValue;
using tensorflow::DeviceNameUtils;
using tensorflow::Edge;
using tensorflow::FunctionDef;
using tensorflow::FunctionLibraryDefinition;
using tensorflow::Graph;
using tensorflow::Node;
using tensorflow::NodeDef;
using AttrMap = google::protobuf::Map<std::string, AttrValue>;

constexpr char kEngines[] = "_blade_engines";
constexpr char kCluster[] = "_blade_cluster";
// Before phase 10, in which TensorFlow puts the bodies of functions in the places of their calls.
constexpr int kPhase = 0;

// The attribute; null where there is none of this kind.
const AttrValue* FindAttr(const AttrMap& attrs, const char* name, AttrValue::ValueCase kind) {
  const auto found = attrs.find(name);
  return found != attrs.end() && found->second.value_case() == kind ? &found->second : nullptr;
}

// XLA knows no engine ops.
bool IsCompiled(const AttrMap& attrs) {
  const AttrValue* const compiled = FindAttr(attrs, "_XlaMustCompile", AttrValue::kB);
  return compiled != nullptr && compiled->b();
}

// The engine op has a kernel for this kind of device only.
bool MayBeCpu(const std::string& device) {
  DeviceNameUtils::ParsedName name;
  return DeviceNameUtils::ParseFullName(device, &name) && (!name.has_type || name.type == "CPU");
}

// Whether a node is a call with engines, whole and where an engine op may be. Any other stays what it is.
bool IsPortable(const NodeDef& node) {
  if (node.op() != "StatefulPartitionedCall") return false;
  const AttrMap& attrs = node.attr();
  const AttrValue* const engines = FindAttr(attrs, kEngines, AttrValue::kList);
  const AttrValue* const function = FindAttr(attrs, "f", AttrValue::kFunc);
  return engines != nullptr && engines->list().s_size() > 0 && function != nullptr &&
         !function->func().name().empty() && FindAttr(attrs, "Tin", AttrValue::kList) != nullptr &&
         FindAttr(attrs, "Tout", AttrValue::kList) != nullptr && !IsCompiled(attrs) && MayBeCpu(node.device());
}

// The engine op in the place of a portable call.
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
  if (call.has_experimental_debug_info()) *node.mutable_experimental_debug_info() = call.experimental_debug_info();
  return node;
}

void Replace(Graph* graph, Node* call) {
  absl::Status status;
  Node* const node = graph->AddNode(EngineNode(call->def()), &status);
  if (!status.ok()) {
    LOG(WARNING) << "tf_blade: " << call->name() << " stays a call without engines: " << status;
    return;
  }
  node->set_assigned_device_name(call->assigned_device_name());
  // Edges vanish with their nodes.
  for (const Edge* edge : std::vector<const Edge*>(call->in_edges().begin(), call->in_edges().end())) {
    graph->AddEdge(edge->src(), edge->src_output(), node, edge->dst_input());
  }
  for (const Edge* edge : std::vector<const Edge*>(call->out_edges().begin(), call->out_edges().end())) {
    Node* const reader = edge->dst();
    const int output = edge->src_output();
    const int input = edge->dst_input();
    graph->RemoveEdge(edge);
    graph->AddEdge(node, output, reader, input);
  }
  graph->RemoveNode(call);
}

void ReplaceInGraph(Graph* graph) {
  std::vector<Node*> calls;
  for (Node* node : graph->op_nodes()) {
    if (IsPortable(node->def()) && MayBeCpu(node->assigned_device_name())) calls.push_back(node);
  }
  for (Node* call : calls) Replace(graph, call);
}

// A function's body names tensors by the op's outputs, "call:output:0", of which the engine op's has another name.
void Rename(const std::set<std::string>& calls, std::string* tensor) {
  constexpr absl::string_view kCallsOutput = ":output:";
  const size_t colon = tensor->find(':');
  if (colon == std::string::npos || calls.count(tensor->substr(0, colon)) == 0) return;
  if (absl::string_view(*tensor).substr(colon, kCallsOutput.size()) != kCallsOutput) return;
  tensor->replace(colon, kCallsOutput.size(), ":outputs:");
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

// Portable calls by the function that they stand in.
std::map<std::string, std::set<std::string>> FindCalls(const FunctionLibraryDefinition& library) {
  std::map<std::string, std::set<std::string>> calls;
  for (const std::string& name : library.ListFunctionNames()) {
    const auto record = library.FindRecord(name);
    if (record == nullptr) continue;
    for (const NodeDef& node : record->fdef().node_def()) {
      if (IsPortable(node)) calls[name].insert(node.name());
    }
  }
  return calls;
}

// Functions that XLA compiles, with all that they call.
std::set<std::string> CompiledFunctions(const FunctionLibraryDefinition& library) {
  std::set<std::string> compiled;
  for (const std::string& name : library.ListFunctionNames()) {
    const auto record = library.FindRecord(name);
    if (record == nullptr || !IsCompiled(record->fdef().attr())) continue;
    compiled.insert(name);
    const std::vector<std::string> callees = library.ReachableDefinitions(record->fdef()).ListFunctionNames();
    compiled.insert(callees.begin(), callees.end());
  }
  return compiled;
}

absl::Status ReplaceInFunctions(FunctionLibraryDefinition* library) {
  const auto calls = FindCalls(*library);
  if (calls.empty()) return absl::OkStatus();
  const std::set<std::string> compiled = CompiledFunctions(*library);
  for (const auto& [name, nodes] : calls) {
    const auto record = library->FindRecord(name);
    if (record == nullptr || compiled.count(name) > 0) continue;
    const absl::Status status = library->ReplaceFunction(name, WithEngines(record->fdef(), nodes));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

class PortablePass : public tensorflow::GraphOptimizationPass {
 public:
  absl::Status Run(const tensorflow::GraphOptimizationPassOptions& options) override {
    if (DisabledByEnvironment()) return absl::OkStatus();
    if (options.flib_def != nullptr) {
      const absl::Status status = ReplaceInFunctions(options.flib_def);
      if (!status.ok()) return status;
    }
    if (options.graph != nullptr) ReplaceInGraph(options.graph->get());
    return absl::OkStatus();
  }
};

}  // namespace

void RegisterPortablePass() {
  tensorflow::optimization_registration::OptimizationPassRegistration(
      tensorflow::OptimizationPassRegistry::PRE_PLACEMENT, kPhase, std::make_unique<PortablePass>(),
      "TfBladePortablePass");
}

}  // namespace tf_blade
