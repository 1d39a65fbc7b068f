#include "custom_ops/engine_op/op_device.h"

#include "absl/strings/str_cat.h"
#include "tensorflow/core/common_runtime/device.h"
#include "tensorflow/core/framework/device_base.h"
#include "xla/stream_executor/platform.h"
#include "xla/stream_executor/stream.h"
#include "xla/stream_executor/stream_executor.h"

namespace tf_blade {
namespace {

std::optional<DeviceQueue> QueueOfStream(stream_executor::Stream* stream) {
  if (stream == nullptr || stream->parent() == nullptr) return std::nullopt;
  const stream_executor::Platform* const platform = stream->parent()->GetPlatform();
  return DeviceQueue{platform == nullptr ? "" : std::string(platform->Name()), stream->parent()->device_ordinal(),
                     stream->platform_specific_handle().stream};
}

}  // namespace

OpDevice::OpDevice(tensorflow::OpKernelConstruction* ctx)
    : is_machine_(ctx->device_type() == tensorflow::DeviceType(tensorflow::DEVICE_CPU)) {
  if (is_machine_) return;
  name_ = ctx->device()->name();
  const auto* const info = ctx->device()->tensorflow_accelerator_device_info();
  if (info != nullptr) queue_ = QueueOfStream(info->stream);
}

absl::Status OpDevice::CheckEngine(const Engine& engine) const {
  if (is_machine_) return absl::OkStatus();
  const std::string where = absl::StrCat("the op is on ", name_);
  if (!queue_.has_value()) return Refuse(Reason::kDevice, absl::StrCat(where, ", which has no stream"));
  const absl::Status status = engine.CanUse(*queue_);
  return status.ok() ? status : Refuse(ReasonOf(status), absl::StrCat(where, ": ", status.message()));
}

std::optional<DeviceQueue> OpDevice::QueueOf(tensorflow::OpKernelContext* ctx) const {
  if (!queue_.has_value()) return std::nullopt;
  tensorflow::DeviceContext* const context = ctx->op_device_context();
  return context == nullptr || context->stream() == nullptr ? queue_ : QueueOfStream(context->stream());
}

absl::Status CheckMemoryTypes(tensorflow::OpKernelConstruction* ctx) {
  const auto is_misplaced = [](const tensorflow::DataTypeSlice& types, const tensorflow::MemoryTypeSlice& memory) {
    for (size_t i = 0; i < types.size(); ++i) {
      if (types[i] == tensorflow::DT_INT32 && memory[i] != tensorflow::HOST_MEMORY) return true;
    }
    return false;
  };
  if (!is_misplaced(ctx->input_types(), ctx->input_memory_types()) &&
      !is_misplaced(ctx->output_types(), ctx->output_memory_types())) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "tf_blade: ", ctx->def().name(), " is on ", ctx->device()->name(),
      " but does not say that its int32 values are in the machine's memory (_input_hostmem, "
      "_output_hostmem), and no graph pass has seen it that would, as in bodies of loops and branches that are not "
      "lowered: optimize the model again, or hide the device from TensorFlow"));
}

bool HasAccelerator(const tensorflow::DeviceSet* devices) {
  if (devices == nullptr) return false;
  for (const tensorflow::Device* device : devices->devices()) {
    const std::string& type = device->device_type();
    if (type != tensorflow::DEVICE_CPU && type != "XLA_CPU" && type != "COMPOSITE") return true;
  }
  return false;
}

}  // namespace tf_blade
