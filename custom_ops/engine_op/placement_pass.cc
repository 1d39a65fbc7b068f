#include "custom_ops/engine_op/placement_pass.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/engine_op/graph_edit.h"
#include "custom_ops/engine_op/op_device.h"
#include "custom_ops/engine_op/portable_call.h"
#include "custom_ops/runtime/environment.h"
#include "tensorflow/core/common_runtime/optimization_registry.h"
#include "tensorflow/core/framework/node_def_util.h"
#include "tensorflow/core/graph/graph.h"
#include "tensorflow/core/util/device_name_utils.h"

namespace tf_blade {
namespace {

using tensorflow::DeviceNameUtils;
using tensorflow::Graph;
using tensorflow::GraphOptimizationPassOptions;
using tensorflow::Node;
using tensorflow::NodeDef;

// After phase 10, in which functions are inlined: then the op and its variables are in one graph. Before phase 35, in
// which TensorFlow prepares calls for its placer.
constexpr int kPhase = 30;

// Where a handle comes from, past what hands it on: a handle that enters a loop is the same in all of its turns.
const Node* Origin(const Node* node) {
  constexpr int kMostSteps = 1000;  // no graph that is right has a circle of these
  const Node* next = nullptr;
  for (int i = 0; i < kMostSteps; ++i) {
    const bool hands_on = node->IsIdentity() || node->IsEnter() || node->IsSwitch() || node->IsMerge();
    if (!hands_on || !node->input_node(0, &next).ok()) break;
    node = next;
  }
  return node;
}

// The device that a node is or wants to be on, if any.
std::optional<DeviceNameUtils::ParsedName> DeviceOf(const Node& node) {
  DeviceNameUtils::ParsedName name;
  const std::string& text = node.has_assigned_device_name() ? node.assigned_device_name() : node.requested_device();
  if (text.empty() || !DeviceNameUtils::ParseFullName(text, &name)) return std::nullopt;
  return name;
}

// Two devices that the variables of an engine op are on; empty where one will do.
std::string SeveralDevices(const Node& op) {
  std::optional<DeviceNameUtils::ParsedName> first;
  for (int i = 0; i < op.num_inputs(); ++i) {
    const Node* source = nullptr;
    if (op.input_type(i) != tensorflow::DT_RESOURCE || !op.input_node(i, &source).ok()) continue;
    const std::optional<DeviceNameUtils::ParsedName> device = DeviceOf(*Origin(source));
    if (!device.has_value()) continue;
    if (!first.has_value()) first = device;
    if (!DeviceNameUtils::AreCompatibleDevNames(*first, *device)) {
      return absl::StrCat(DeviceNameUtils::ParsedNameToString(*first), " and ",
                          DeviceNameUtils::ParsedNameToString(*device));
    }
  }
  return "";
}

// TensorFlow keeps int32 of functions in the machine's memory, so the op must, as its fallback is one. Whoever wrote
// the node may not have said so: an earlier tf_blade, say.
void KeepInt32OnMachine(const char* name, const tensorflow::DataTypeVector& types, Node* op) {
  std::vector<int32_t> places, said;
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] == tensorflow::DT_INT32) places.push_back(static_cast<int32_t>(i));
  }
  TryGetNodeAttr(op->attrs(), name, &said);
  if (said == places) return;
  op->ClearAttr(name);
  if (!places.empty()) op->AddAttr(name, places);
}

class PlacementPass : public tensorflow::GraphOptimizationPass {
 public:
  absl::Status Run(const GraphOptimizationPassOptions& options) override {
    Graph* const graph = options.graph == nullptr ? nullptr : options.graph->get();
    if (graph == nullptr) return absl::OkStatus();
    std::vector<Node*> ops;
    for (Node* node : graph->op_nodes()) {
      if (node->type_string() == "BladeEngineOp") ops.push_back(node);
    }
    const bool has_accelerator = HasAccelerator(options.device_set);
    for (Node* op : ops) {
      if (has_accelerator) {
        KeepInt32OnMachine("_input_hostmem", op->input_types(), op);
        KeepInt32OnMachine("_output_hostmem", op->output_types(), op);
      }
      const std::string devices = SeveralDevices(*op);
      if (!devices.empty() && CanBeCall(op->def())) MakeCall(graph, op, devices);
    }
    return absl::OkStatus();
  }

 private:
  static void MakeCall(Graph* graph, Node* op, const std::string& devices) {
    const NodeDef call = FallbackCall(op->def());
    const absl::Status status = ReplaceNode(graph, op, call);
    LogWarningOnce(absl::StrCat(call.name(), ": no engine serves it where its variables are on ", devices,
                                status.ok() ? "" : absl::StrCat(": ", status.message())));
  }
};

}  // namespace

void RegisterPlacementPass() {
  tensorflow::optimization_registration::OptimizationPassRegistration(
      tensorflow::OptimizationPassRegistry::PRE_PLACEMENT, kPhase, std::make_unique<PlacementPass>(),
      "TfBladePlacementPass");
}

}  // namespace tf_blade
