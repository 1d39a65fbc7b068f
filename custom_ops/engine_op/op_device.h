// Where a kernel's tensors are: in the machine's memory, or on a device with a queue of its own.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_OP_DEVICE_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_OP_DEVICE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "custom_ops/runtime/engine.h"
#include "tensorflow/core/common_runtime/device_set.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_blade {

class OpDevice {
 public:
  explicit OpDevice(tensorflow::OpKernelConstruction* ctx);

  // Whether all tensors are in the machine's memory.
  bool is_machine() const { return is_machine_; }
  // Empty for a CPU.
  const std::string& name() const { return name_; }

  // Whether an engine can work here; kDevice when it cannot.
  absl::Status CheckEngine(const Engine& engine) const;

  // The queue of a call's work; nothing in the machine's memory, and where the device has none.
  std::optional<DeviceQueue> QueueOf(tensorflow::OpKernelContext* ctx) const;

 private:
  bool is_machine_;
  std::string name_;
  std::optional<DeviceQueue> queue_;
};

// TensorFlow's functions take and give int32 in the machine's memory, whatever device they run on. A node that was
// written without the attributes that say so for the op too, and that no graph pass has seen, would hand over memory of
// the wrong kind.
absl::Status CheckMemoryTypes(tensorflow::OpKernelConstruction* ctx);

// Whether TensorFlow may put nodes, and the variables that they read, on other devices than CPUs.
bool HasAccelerator(const tensorflow::DeviceSet* devices);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_OP_DEVICE_H_
