// The graph pass for portable models on a graph with one call, among devices of the caller's choice.
#include <memory>
#include <string>
#include <vector>

#include "tensorflow/core/common_runtime/device.h"
#include "tensorflow/core/common_runtime/device_set.h"
#include "tensorflow/core/common_runtime/optimization_registry.h"
#include "tensorflow/core/framework/device_attributes.pb.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/graph/graph.h"

namespace {

using tensorflow::Device;
using tensorflow::OptimizationPassRegistry;

class FakeDevice : public Device {
 public:
  FakeDevice(const tensorflow::DeviceAttributes& attributes, bool is_local)
      : Device(nullptr, attributes), is_local_(is_local) {}
  absl::Status Sync() override { return absl::OkStatus(); }
  tensorflow::Allocator* GetAllocator(tensorflow::AllocatorAttributes) override { return nullptr; }
  bool IsLocal() const override { return is_local_; }

 private:
  bool is_local_;
};

std::unique_ptr<Device> MakeDevice(const std::string& type, int task) {
  tensorflow::DeviceAttributes attributes;
  attributes.set_name("/job:localhost/replica:0/task:" + std::to_string(task) + "/device:" + type + ":0");
  attributes.set_device_type(type);
  return std::make_unique<FakeDevice>(attributes, task == 0);
}

tensorflow::NodeDef Call(const std::string& device, const std::string& mark) {
  tensorflow::NodeDef call;
  call.set_name("call");
  call.set_op("StatefulPartitionedCall");
  call.set_device(device);
  auto& attrs = *call.mutable_attr();
  attrs["f"].mutable_func()->set_name("subgraph");
  attrs["Tin"].mutable_list();
  attrs["Tout"].mutable_list();
  attrs["_blade_engines"].mutable_list()->add_s("engine");
  if (!mark.empty()) attrs[mark].set_s("mark");
  return call;
}

}  // namespace

// The op that the call has become; empty when something failed. `type` names a device beside the CPU, or is empty; the
// device is of the process of this number, of which 0 is this one. `mark` is one more attribute of the call, or empty.
extern "C" const char* op_after_pass(const char* type, int task, const char* device_of_call, const char* mark) {
  static std::string op;
  op.clear();
  std::vector<std::unique_ptr<Device>> devices;
  devices.push_back(MakeDevice("CPU", 0));
  if (*type != '\0') devices.push_back(MakeDevice(type, task));
  tensorflow::DeviceSet device_set;
  for (const auto& device : devices) device_set.AddDevice(device.get());
  tensorflow::FunctionLibraryDefinition library(tensorflow::OpRegistry::Global());
  auto graph = std::make_unique<tensorflow::Graph>(library);
  absl::Status status;
  graph->AddNode(Call(device_of_call, mark), &status);
  if (!status.ok()) return op.c_str();
  tensorflow::GraphOptimizationPassOptions options;
  options.graph = &graph;
  options.flib_def = &library;
  options.device_set = &device_set;
  for (const auto& phase : OptimizationPassRegistry::Global()->groups().at(OptimizationPassRegistry::PRE_PLACEMENT)) {
    for (const auto& pass : phase.second) {
      if (pass->name() == "TfBladePortablePass" && !pass->Run(options).ok()) return op.c_str();
    }
  }
  for (const tensorflow::Node* node : graph->op_nodes()) op = node->type_string();
  return op.c_str();
}
