#include "custom_ops/engine_op/placement_pass.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/engine_op/graph_edit.h"
#include "custom_ops/engine_op/portable_call.h"
#include "custom_ops/runtime/environment.h"
#include "tensorflow/core/common_runtime/optimization_registry.h"
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

class PlacementPass : public tensorflow::GraphOptimizationPass {
 public:
  absl::Status Run(const GraphOptimizationPassOptions& options) override {
    Graph* const graph = options.graph == nullptr ? nullptr : options.graph->get();
    if (graph == nullptr) return absl::OkStatus();
    std::vector<Node*> ops;
    for (Node* node : graph->op_nodes()) {
      if (node->type_string() == "BladeEngineOp") ops.push_back(node);
    }
    for (Node* op : ops) {
      const std::string devices = SeveralDevices(*op);
      if (devices.empty() || !CanBeCall(op->def())) continue;
      const NodeDef call = FallbackCall(op->def());
      const absl::Status status = ReplaceNode(graph, op, call);
      LogWarningOnce(absl::StrCat(call.name(), ": no engine serves it where its variables are on ", devices,
                                  status.ok() ? "" : absl::StrCat(": ", status.message())));
    }
    return absl::OkStatus();
  }
};

}  // namespace

void RegisterPlacementPass() {
  tensorflow::optimization_registration::OptimizationPassRegistration(
      tensorflow::OptimizationPassRegistry::PRE_PLACEMENT, kPhase, std::make_unique<PlacementPass>(),
      "TfBladePlacementPass");
}

}  // namespace tf_blade
