#include "custom_ops/engine_op/portable_pass.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "custom_ops/engine_op/engine_attr.h"
#include "custom_ops/engine_op/graph_edit.h"
#include "custom_ops/engine_op/metrics.h"
#include "custom_ops/engine_op/op_device.h"
#include "custom_ops/engine_op/portable_call.h"
#include "custom_ops/engine_op/portable_functions.h"
#include "custom_ops/runtime/engine_file.h"
#include "custom_ops/runtime/environment.h"
#include "custom_ops/runtime/log_limiter.h"
#include "custom_ops/runtime/registry.h"
#include "custom_ops/runtime/stats.h"
#include "tensorflow/core/common_runtime/device.h"
#include "tensorflow/core/common_runtime/device_set.h"
#include "tensorflow/core/common_runtime/optimization_registry.h"
#include "tensorflow/core/graph/graph.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow/core/util/device_name_utils.h"

namespace tf_blade {
namespace {

using tensorflow::DeviceNameUtils;
using tensorflow::Graph;
using tensorflow::GraphOptimizationPassOptions;
using tensorflow::Node;
using tensorflow::NodeDef;

// Before phase 10, in which TensorFlow puts the bodies of functions in the places of their calls.
constexpr int kPhase = 0;

std::atomic<int> pauses{0};

void LogDamage(const std::string& call, absl::string_view damage) {
  static LogLimiter* const limiter = std::make_unique<LogLimiter>().release();
  int64_t suppressed = 0;
  if (!limiter->Allow(NowNs(), &suppressed)) return;
  LOG(WARNING) << "tf_blade: " << call << " stays a plain call of TensorFlow, without its engines: " << damage
               << (suppressed > 0 ? absl::StrCat(" (and ", suppressed, " more such calls)") : "");
}

// Whether TensorFlow may put nodes on devices of other processes, which need not have the engine op.
bool HasRemoteDevice(const tensorflow::DeviceSet* devices) {
  if (devices == nullptr) return false;
  const auto& all = devices->devices();
  return std::any_of(all.begin(), all.end(), [](const tensorflow::Device* device) { return !device->IsLocal(); });
}

// What one run of the pass knows of the place that calls are in.
struct Place {
  bool disabled = false;
  bool has_accelerator = false;
  bool has_remote_device = false;

  // Whether a call with this device runs on a CPU. Where there are other devices, TensorFlow chooses, unless the model
  // does.
  bool IsForCpu(const std::string& device) const {
    DeviceNameUtils::ParsedName name;
    if (!DeviceNameUtils::ParseFullName(device, &name)) return false;
    return name.has_type ? name.type == tensorflow::DEVICE_CPU : !has_accelerator;
  }
};

Place PlaceOf(const GraphOptimizationPassOptions& options) {
  Place place;
  place.disabled = pauses.load() > 0 || DisabledByEnvironment();
  place.has_accelerator = HasAccelerator(options.device_set);
  place.has_remote_device = HasRemoteDevice(options.device_set);
  return place;
}

void CountPortableCall(PortableCall result) {
  RegisterMetrics();  // no engine op may ever be made that would do it
  Count(PortableCalls()[static_cast<size_t>(result)]);
}

// Whether some engine of a call may be able to work on another device than a CPU. Where none is, a call that TensorFlow
// inlines is faster than an op that would never run an engine.
bool MayUseDevices(const NodeDef& call) {
  for (const absl::string_view bytes : EnginesOf(call)) {
    const absl::StatusOr<EngineFile> file = ParseEngineFile(bytes);
    if (file.ok() && UsesDevices(file->backend)) return true;
  }
  return false;
}

// What is to become of a call.
PortableCall Decide(const Place& place, const NodeDef& call, bool is_compiled) {
  const std::string damage = DamageOf(call);
  if (!damage.empty()) {
    LogDamage(call.name(), damage);
    return PortableCall::kDamaged;
  }
  if (place.disabled) return PortableCall::kDisabled;
  if (is_compiled || IsCompiled(call.attr())) return PortableCall::kCompiled;
  if (place.has_remote_device) return PortableCall::kDevice;
  return place.IsForCpu(call.device()) || MayUseDevices(call) ? PortableCall::kEngine : PortableCall::kDevice;
}

PortableCall ReplaceByEngine(Graph* graph, Node* call) {
  const absl::Status status = ReplaceNode(graph, call, EngineNode(call->def()));
  if (status.ok()) return PortableCall::kEngine;
  LogDamage(call->name(), status.message());
  return PortableCall::kDamaged;
}

void ReplaceInGraph(const Place& place, bool is_compiled, Graph* graph) {
  std::vector<Node*> calls;
  for (Node* node : graph->op_nodes()) {
    if (IsPortableCall(node->def())) calls.push_back(node);
  }
  for (Node* call : calls) {
    const PortableCall decision = Decide(place, call->def(), is_compiled);
    CountPortableCall(decision == PortableCall::kEngine ? ReplaceByEngine(graph, call) : decision);
  }
}

// The same node with other functions: whoever holds it may go on holding it.
void UpdateFunctions(const NodeDef& definition, Node* node) {
  for (const auto& [name, value] : definition.attr()) {
    if (value.has_func() || value.list().func_size() > 0) node->AddAttr(name, value);
  }
}

// Has the graph's nodes call the copies with engines.
absl::Status RedirectInGraph(const EngineFunctions& functions, Graph* graph) {
  std::vector<std::pair<Node*, NodeDef>> redirected;
  for (Node* node : graph->op_nodes()) {
    if (std::optional<NodeDef> changed = functions.Redirected(node->def())) redirected.emplace_back(node, *changed);
  }
  for (const auto& [node, changed] : redirected) {
    if (changed.op() == node->type_string()) {
      UpdateFunctions(changed, node);
      continue;
    }
    const absl::Status status = ReplaceNode(graph, node, changed);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

class PortablePass : public tensorflow::GraphOptimizationPass {
 public:
  absl::Status Run(const GraphOptimizationPassOptions& options) override {
    Graph* const graph = options.graph == nullptr ? nullptr : options.graph->get();
    if (graph == nullptr) return absl::OkStatus();
    const Place place = PlaceOf(options);
    const bool is_compiled = options.function_def != nullptr && IsCompiled(options.function_def->attr());
    ReplaceInGraph(place, is_compiled, graph);
    if (options.flib_def == nullptr) return absl::OkStatus();
    const auto decide = [&place](const NodeDef& call, bool call_is_compiled) {
      const PortableCall decision = Decide(place, call, call_is_compiled);
      CountPortableCall(decision);
      return decision == PortableCall::kEngine;
    };
    const EngineFunctions functions(*options.flib_def, *graph, is_compiled, decide);
    const absl::Status status = functions.AddTo(options.flib_def, graph);
    return status.ok() ? RedirectInGraph(functions, graph) : status;
  }
};

}  // namespace

void RegisterPortablePass() {
  tensorflow::optimization_registration::OptimizationPassRegistration(
      tensorflow::OptimizationPassRegistry::PRE_PLACEMENT, kPhase, std::make_unique<PortablePass>(),
      "TfBladePortablePass");
}

void PausePortablePass() { ++pauses; }

void ResumePortablePass() { --pauses; }

}  // namespace tf_blade
