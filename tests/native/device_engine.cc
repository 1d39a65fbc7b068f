// An engine kind, "on_device", for the device of simulated_gpu.cc: y[n, k] = x[n, k] * w[k] in float32 and m = c + 1 in
// int32. It works where the host says that tensors are, through the device's own access to its memory, so that tensors
// that are elsewhere end the process.
#include <cstring>
#include <memory>
#include <string>

#include "custom_ops/runtime/registry.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"

extern "C" void* simulated_gpu_through(const void* memory);

namespace tf_blade {
namespace {

struct State : public EngineState {
  float* w = nullptr;  // where the host's memory is
};

// Access to memory that a host calls the machine's, or the device's.
template <typename T>
T* Open(void* memory, bool on_machine) {
  return static_cast<T*>(on_machine ? memory : simulated_gpu_through(memory));
}

class DeviceEngine : public Engine {
 public:
  absl::Status CanUse(const DeviceQueue& device) const override {
    const bool fits = device.platform == "SIMULATED";
    return fits ? absl::OkStatus()
                : Refuse(Reason::kDevice, "it is for the simulated device, not for " + device.platform);
  }

  Outcome Init(Host& host, absl::Span<const TensorView> inputs, std::unique_ptr<EngineState>* state) const override {
    const size_t bytes = sizeof(float) * inputs[1].dims[0];
    auto made = std::make_unique<State>();
    made->w = static_cast<float*>(host.AllocPersistent(bytes));
    if (made->w == nullptr) return Outcome::kNoMemory;
    const bool on_machine = host.Device() == nullptr;
    std::memcpy(Open<float>(made->w, on_machine), Open<float>(inputs[1].data, host.InputOnMachine(1)), bytes);
    *state = std::move(made);
    return Outcome::kOk;
  }

  Outcome Run(Host& host, const EngineState* state, absl::Span<const TensorView> inputs) const override {
    const TensorView& x = inputs[0];
    const int64_t count = x.dims[0] * x.dims[1];
    const bool on_machine = host.Device() == nullptr;
    if (!on_machine && (host.InputOnMachine(0) || !host.InputOnMachine(2) || !host.OutputOnMachine(1))) {
      host.SetError("int32 is not where TensorFlow keeps it");
      return Outcome::kInvalid;
    }
    void* const y = host.AllocOutput(0, absl::MakeConstSpan(x.dims, 2));
    void* const m = host.AllocOutput(1, absl::MakeConstSpan(inputs[2].dims, 1));
    void* const first = host.Alloc(sizeof(float) * count);
    void* const second = host.Alloc(sizeof(float));
    if (y == nullptr || m == nullptr || first == nullptr || second == nullptr) return Outcome::kNoMemory;
    host.Release(second);
    const auto* const from = Open<float>(x.data, host.InputOnMachine(0));
    const auto* const w = Open<float>(static_cast<const State*>(state)->w, on_machine);
    auto* const product = Open<float>(first, on_machine);
    for (int64_t i = 0; i < count; ++i) product[i] = from[i] * w[i % x.dims[1]];
    if (count > 0) std::memcpy(Open<float>(y, host.OutputOnMachine(0)), product, sizeof(float) * count);
    const auto* const c = Open<int32_t>(inputs[2].data, host.InputOnMachine(2));
    for (int64_t i = 0; i < inputs[2].dims[0]; ++i) Open<int32_t>(m, host.OutputOnMachine(1))[i] = c[i] + 1;
    return Outcome::kOk;
  }
};

absl::StatusOr<std::unique_ptr<Engine>> LoadDeviceEngine(const EngineFile&) { return std::make_unique<DeviceEngine>(); }

[[maybe_unused]] const bool kRegistered = RegisterEngineLoader("on_device", LoadDeviceEngine, true);

// Writes elements of a variable where it is, as TensorFlow's own sparse ops do: from the first such write on.
class ScatterUpdate : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tensorflow::OpKernelContext* ctx) override {
    tensorflow::core::RefCountPtr<tensorflow::Var> variable;
    OP_REQUIRES_OK(ctx, LookupResource(ctx, tensorflow::HandleFromInput(ctx, 0), &variable));
    tensorflow::mutex_lock lock(*variable->mu());
    tensorflow::Tensor& value = *variable->tensor();
    if (!variable->copy_on_read_mode.load()) {
      tensorflow::Tensor copy;
      OP_REQUIRES_OK(ctx, ctx->allocate_temp(value.dtype(), value.shape(), &copy));
      std::memcpy(simulated_gpu_through(copy.data()), simulated_gpu_through(value.data()), value.TotalBytes());
      value = copy;
      variable->copy_on_read_mode.store(true);
    }
    auto* const elements = static_cast<float*>(simulated_gpu_through(value.data()));
    const auto* const indices = static_cast<const int32_t*>(simulated_gpu_through(ctx->input(1).data()));
    const auto* const updates = static_cast<const float*>(simulated_gpu_through(ctx->input(2).data()));
    for (int64_t i = 0; i < ctx->input(1).NumElements(); ++i) elements[indices[i]] = updates[i];
  }
};

REGISTER_KERNEL_BUILDER(Name("ResourceScatterUpdate").Device("GPU").HostMemory("resource"), ScatterUpdate);

}  // namespace
}  // namespace tf_blade
