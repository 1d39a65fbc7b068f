#include "custom_ops/engine_op/portable_pass.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "custom_ops/engine_op/environment.h"
#include "tensorflow/core/common_runtime/optimization_registry.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/graph/graph.h"

namespace tf_blade {
namespace {

using tensorflow::Edge;
using tensorflow::FunctionDef;
using tensorflow::FunctionLibraryDefinition;
using tensorflow::Graph;
using tensorflow::Node;
using tensorflow::NodeDef;

constexpr char kEngines[] = "_blade_engines";
constexpr char kCluster[] = "_blade_cluster";
// Before phase 10, in which TensorFlow puts the bodies of functions in the places of their calls.
constexpr int kPhase = 0;

bool IsPortable(const NodeDef& node) {
  return (node.op() == "PartitionedCall" || node.op() == "StatefulPartitionedCall") && node.attr().contains(kEngines) &&
         node.attr().contains("f");
}

NodeDef EngineNode(const NodeDef& call) {
  NodeDef node;
  node.set_name(call.name());
  node.set_op("BladeEngineOp");
  node.set_device(call.device());
  *node.mutable_input() = call.input();
  auto& attrs = *node.mutable_attr();
  for (const char* name : {"Tin", "Tout"}) attrs[name] = call.attr().at(name);
  attrs["fallback"] = call.attr().at("f");
  attrs["engines"] = call.attr().at(kEngines);
  if (call.attr().contains(kCluster)) attrs["cluster"] = call.attr().at(kCluster);
  if (call.has_experimental_debug_info()) *node.mutable_experimental_debug_info() = call.experimental_debug_info();
  return node;
}

absl::Status Replace(Graph* graph, Node* call) {
  NodeDef definition = EngineNode(call->def());
  absl::Status status;
  Node* const node = graph->AddNode(std::move(definition), &status);
  if (!status.ok()) return status;
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
  return absl::OkStatus();
}

absl::Status ReplaceInGraph(Graph* graph) {
  std::vector<Node*> calls;
  for (Node* node : graph->op_nodes()) {
    if (IsPortable(node->def())) calls.push_back(node);
  }
  for (Node* call : calls) {
    const absl::Status status = Replace(graph, call);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// A function's body names tensors by the op's outputs, "call:output:0", of which the engine op's has another name.
void Rename(const std::set<std::string>& calls, std::string* tensor) {
  constexpr absl::string_view kCallsOutput = ":output:";
  const size_t colon = tensor->find(':');
  if (colon == std::string::npos || calls.count(tensor->substr(0, colon)) == 0) return;
  if (absl::string_view(*tensor).substr(colon, kCallsOutput.size()) != kCallsOutput) return;
  tensor->replace(colon, kCallsOutput.size(), ":outputs:");
}

absl::Status ReplaceInFunctions(FunctionLibraryDefinition* library) {
  for (const std::string& name : library->ListFunctionNames()) {
    const auto record = library->FindRecord(name);
    if (record == nullptr) continue;
    std::set<std::string> calls;
    for (const NodeDef& node : record->fdef().node_def()) {
      if (IsPortable(node)) calls.insert(node.name());
    }
    if (calls.empty()) continue;
    FunctionDef changed = record->fdef();
    for (NodeDef& node : *changed.mutable_node_def()) {
      if (calls.count(node.name()) > 0) node = EngineNode(node);
      for (std::string& input : *node.mutable_input()) Rename(calls, &input);
    }
    for (auto& result : *changed.mutable_ret()) Rename(calls, &result.second);
    const absl::Status status = library->ReplaceFunction(name, changed);
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
    return options.graph == nullptr ? absl::OkStatus() : ReplaceInGraph(options.graph->get());
  }
};

}  // namespace

void RegisterPortablePass() {
  tensorflow::optimization_registration::OptimizationPassRegistration(
      tensorflow::OptimizationPassRegistry::PRE_PLACEMENT, kPhase, std::make_unique<PortablePass>(),
      "TfBladePortablePass");
}

}  // namespace tf_blade
