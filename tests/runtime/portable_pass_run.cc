// The graph pass for portable models on a graph of the caller's, among devices of the caller's choice.
#include <memory>
#include <string>
#include <vector>

#include "tensorflow/core/common_runtime/device.h"
#include "tensorflow/core/common_runtime/device_set.h"
#include "tensorflow/core/common_runtime/graph_constructor.h"
#include "tensorflow/core/common_runtime/optimization_registry.h"
#include "tensorflow/core/framework/device_attributes.pb.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/graph.pb.h"
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

absl::Status RunPass(const std::vector<std::unique_ptr<Device>>& devices, tensorflow::GraphDef* definition) {
  tensorflow::DeviceSet device_set;
  for (const auto& device : devices) device_set.AddDevice(device.get());
  // As a session has it: the graph has a library of its own beside the session's.
  tensorflow::FunctionLibraryDefinition library(tensorflow::OpRegistry::Global(), definition->library());
  auto graph = std::make_unique<tensorflow::Graph>(tensorflow::OpRegistry::Global());
  absl::Status status = tensorflow::ConvertGraphDefToGraph({}, *definition, graph.get());
  if (!status.ok()) return status;
  tensorflow::GraphOptimizationPassOptions options;
  options.graph = &graph;
  options.flib_def = &library;
  options.device_set = &device_set;
  for (const auto& phase : OptimizationPassRegistry::Global()->groups().at(OptimizationPassRegistry::PRE_PLACEMENT)) {
    for (const auto& pass : phase.second) {
      if (pass->name() == "TfBladePortablePass") status.Update(pass->Run(options));
    }
  }
  graph->ToGraphDef(definition, /*include_flib_def=*/false);
  *definition->mutable_library() = library.ToProto();
  for (const std::string& name : library.ListFunctionNames()) {
    if (!graph->flib_def().Contains(name)) status.Update(absl::NotFoundError("the graph does not know " + name));
  }
  return status;
}

std::string result;

}  // namespace

// Runs the pass on a serialized graph with its library. `type` names a device beside the CPU, or is empty; the device
// is of the process of this number, of which 0 is this one. Gives what failed; empty when nothing did.
extern "C" const char* run_pass(const char* type, int task, const char* data, size_t size) {
  static std::string message;
  std::vector<std::unique_ptr<Device>> devices;
  devices.push_back(MakeDevice("CPU", 0));
  if (*type != '\0') devices.push_back(MakeDevice(type, task));
  tensorflow::GraphDef definition;
  const bool parsed = definition.ParseFromArray(data, static_cast<int>(size));
  const absl::Status status = parsed ? RunPass(devices, &definition) : absl::InvalidArgumentError("no graph");
  result = definition.SerializeAsString();
  message = status.ok() ? "" : status.ToString();
  return message.c_str();
}

// The graph after the last run of the pass, serialized, with the library.
extern "C" const char* graph_after_pass(size_t* size) {
  *size = result.size();
  return result.data();
}
