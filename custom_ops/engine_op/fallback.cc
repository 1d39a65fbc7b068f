#include "custom_ops/engine_op/fallback.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/common_runtime/device.h"
#include "tensorflow/core/common_runtime/device_mgr.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/platform/threadpool.h"
#include "tensorflow/core/platform/threadpool_interface.h"

namespace tf_blade {

using tensorflow::FunctionLibraryRuntime;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

namespace {

using CpuWorkerThreads = tensorflow::DeviceBase::CpuWorkerThreads;

// An intra-op pool in the form in which functions take one.
class BorrowedPool : public tensorflow::thread::ThreadPoolInterface {
 public:
  explicit BorrowedPool(Eigen::ThreadPoolInterface* pool) : pool_(pool) {}
  void Schedule(std::function<void()> task) override { pool_->Schedule(std::move(task)); }
  void ScheduleWithHint(std::function<void()> task, int start, int end) override {
    pool_->ScheduleWithHint(std::move(task), start, end);
  }
  int NumThreads() const override { return pool_->NumThreads(); }
  int CurrentThreadId() const override { return pool_->CurrentThreadId(); }

 private:
  Eigen::ThreadPoolInterface* const pool_;
};

// The intra-op pool that the caller of this run has handed in; null where the device's own is used. A function does not
// have it from its caller.
std::shared_ptr<BorrowedPool> HandedPool(OpKernelContext* ctx) {
  tensorflow::DeviceBase* const device = ctx->device();
  const CpuWorkerThreads* const threads = device->tensorflow_cpu_worker_threads();
  if (threads == nullptr || threads == device->UnderlyingDevice()->tensorflow_cpu_worker_threads()) return nullptr;
  return std::make_shared<BorrowedPool>(threads->workers->AsEigenThreadPool());
}

// What a body keeps while it runs, such as the temporary variable of a sum of many, it finds by its nodes' names: two
// runs in one step need containers of different names. Where it is on several devices, so may be what it keeps.
tensorflow::ScopedStepContainer MakeContainer(int64_t step, const tensorflow::DeviceMgr* devices) {
  static std::atomic<uint64_t> runs{0};
  const auto clean_up = [devices](const std::string& container) {
    for (tensorflow::Device* device : devices->ListDevices())
      device->resource_manager()->Cleanup(container).IgnoreError();
  };
  return {step, clean_up, absl::StrCat("tf_blade_", runs.fetch_add(1, std::memory_order_relaxed))};
}

// Parts of a body on several devices meet under the names of its tensors, so each run needs a rendezvous of its own, or
// else two runs in one step would take each other's. TensorFlow makes one where none is given, for the run's step,
// which is one of its own then.
FunctionLibraryRuntime::Options StepOptions(OpKernelContext* ctx, const tensorflow::DeviceMgr& devices) {
  if (devices.NumDevices() > 1) return FunctionLibraryRuntime::Options();
  FunctionLibraryRuntime::Options options(ctx->step_id());
  options.rendezvous = ctx->rendezvous();
  return options;
}

// One run of the function, and what lives as long.
struct FunctionRun {
  FunctionRun(OpKernelContext* ctx, const tensorflow::DeviceMgr* devices)
      : options(StepOptions(ctx, *devices)),
        container(MakeContainer(options.step_id, devices)),
        handed(HandedPool(ctx)) {
    SetOptions(ctx);
  }

  FunctionLibraryRuntime::Options options;
  tensorflow::ScopedStepContainer container;
  const std::shared_ptr<BorrowedPool> handed;
  std::vector<Tensor> results;

 private:
  void SetOptions(OpKernelContext* ctx);
};

void FunctionRun::SetOptions(OpKernelContext* ctx) {
  options.cancellation_manager = ctx->cancellation_manager();
  options.collective_executor = ctx->collective_executor();
  options.stats_collector = ctx->stats_collector();
  options.step_container = &container;
  options.runner = ctx->runner();
  options.user_intra_op_threadpool = handed.get();
  options.run_all_kernels_inline = ctx->run_all_kernels_inline();
  options.source_device = ctx->device()->name();
}

// As TensorFlow's own function calls do: only functions of several devices get the graph passes that choose kernels
// for what the graph optimizers have made of their bodies, such as fused batch norms.
FunctionLibraryRuntime::InstantiateOptions MakeInstantiateOptions(OpKernelContext* ctx, const InputSources& sources) {
  FunctionLibraryRuntime::InstantiateOptions options;
  options.target = ctx->device()->name();
  options.is_multi_device_function = true;
  options.input_devices.reserve(sources.size());
  for (int i = 0; i < sources.size(); ++i) {
    const bool is_handle = sources.types()[i] == tensorflow::DT_RESOURCE;
    const Tensor& input = sources.Argument(ctx, i);
    options.input_devices.push_back(
        is_handle && input.NumElements() == 1 ? input.flat<tensorflow::ResourceHandle>()(0).device() : options.target);
  }
  // Where the body leaves its results is not where the op's readers look for them.
  for (int i = 0; i < ctx->num_outputs(); ++i) {
    const bool is_handle = ctx->expected_output_dtype(i) == tensorflow::DT_RESOURCE;
    options.output_devices.push_back(is_handle ? "" : options.target);
  }
  const tensorflow::ConfigProto* const config = ctx->function_library()->config_proto();
  if (config != nullptr) options.config_proto = *config;
  return options;
}

absl::Status SetOutputs(OpKernelContext* ctx, std::vector<Tensor>* results) {
  if (static_cast<int>(results->size()) != ctx->num_outputs()) {
    return absl::InternalError(
        absl::StrCat("the fallback function gave ", results->size(), " results for ", ctx->num_outputs(), " outputs"));
  }
  for (int i = 0; i < ctx->num_outputs(); ++i) ctx->set_output(i, std::move((*results)[i]));
  return absl::OkStatus();
}

}  // namespace

absl::Status Fallback::Instantiate(OpKernelContext* ctx, const InputSources& sources, Handle* handle) {
  FunctionLibraryRuntime* const library = ctx->function_library();
  if (library == nullptr) {
    return absl::InternalError("the fallback function needs a function library");
  }
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = handles_.find(library);
  if (found != handles_.end()) {
    *handle = found->second;
    return absl::OkStatus();
  }
  const absl::Status status = library->Instantiate(function_.name(), tensorflow::AttrSlice(&function_.attr()),
                                                   MakeInstantiateOptions(ctx, sources), handle);
  if (status.ok()) handles_.emplace(library, *handle);
  return status;
}

void Fallback::Run(OpKernelContext* ctx, const InputSources& sources,
                   std::function<void(const absl::Status&)> finished) {
  Handle handle = tensorflow::kInvalidHandle;
  const absl::Status status = Instantiate(ctx, sources, &handle);
  if (!status.ok()) {
    ctx->SetStatus(status);
    finished(status);
    return;
  }
  std::vector<Tensor> arguments;
  arguments.reserve(sources.size());
  for (int i = 0; i < sources.size(); ++i) arguments.push_back(sources.Argument(ctx, i));
  FunctionLibraryRuntime* const library = ctx->function_library();
  const auto run = std::make_shared<FunctionRun>(ctx, library->device_mgr());
  library->Run(run->options, handle, arguments, &run->results,
               [ctx, run, finished = std::move(finished)](const absl::Status& run_status) {
                 const absl::Status final_status = run_status.ok() ? SetOutputs(ctx, &run->results) : run_status;
                 if (!final_status.ok()) ctx->SetStatus(final_status);
                 // Before the op ends: after it nothing holds what the containers are in.
                 run->container.CleanUp();
                 finished(final_status);
               });
}

}  // namespace tf_blade
