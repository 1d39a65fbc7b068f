// What one call of an engine needs, pooled: inputs, outputs, scratch memory, threads.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_CALL_CONTEXT_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_CALL_CONTEXT_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "custom_ops/engine_op/call_inputs.h"
#include "custom_ops/engine_op/op_device.h"
#include "custom_ops/runtime/engine.h"
#include "custom_ops/runtime/loaded_engine.h"
#include "custom_ops/runtime/memory.h"
#include "custom_ops/runtime/parallel.h"
#include "custom_ops/runtime/stats.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_blade {

// TensorFlow's intra-op pool.
class IntraOpPool : public ThreadPool {
 public:
  explicit IntraOpPool(tensorflow::OpKernelContext* ctx) : threads_(ctx->device()->tensorflow_cpu_worker_threads()) {}
  int NumThreads() const override { return threads_ == nullptr ? 1 : threads_->num_threads; }
  void Schedule(std::function<void()> task) override { threads_->workers->Schedule(std::move(task)); }

 private:
  const tensorflow::DeviceBase::CpuWorkerThreads* const threads_;
};

// Memory of a kernel's device, from TensorFlow's allocator: what is freed while work that was queued before still uses
// it is given out again for work that is queued later only.
class DeviceBlocks {
 public:
  // Null when memory is out.
  void* Allocate(tensorflow::OpKernelContext* ctx, size_t bytes);

  // Frees the block that begins at `memory` and all that were allocated since.
  void FreeSince(const void* memory);
  void FreeAll() { blocks_.clear(); }

  // All blocks, to be kept.
  std::shared_ptr<const void> Take();

 private:
  std::vector<tensorflow::Tensor> blocks_;
};

// A host for engines. `Begin` starts a call of one engine, `Forget` ends it.
class TensorFlowHost : public Host {
 public:
  // Both outlive it.
  TensorFlowHost(const OpDevice& device, const CallInputs& inputs) : device_(device), inputs_(inputs) {}

  // For a run `memory` is null; for an init `signature` is null and what is persistent goes to `memory`.
  void Begin(tensorflow::OpKernelContext* ctx, const EngineSignature* signature, BlockList* memory);

  // Borrows the scratch memory of a call, before its first run, and gives it back. Gives the most that a run needed: of
  // the machine's memory.
  void BorrowMemory();
  size_t ReturnMemory();

  // What an init on a device has allocated to be kept.
  std::shared_ptr<const void> TakePersistent() { return persistent_.Take(); }

  // Drops the outputs that were not taken and frees the scratch memory. Does nothing where nothing has begun since.
  void Forget();

  // Hands the outputs to TensorFlow, or to `kept` unless it is null. False when one is missing.
  bool TakeOutputs(std::vector<tensorflow::Tensor>* kept);

  int NumThreads() override;
  const DeviceQueue* Device() override { return queue_.has_value() ? &*queue_ : nullptr; }
  bool InputOnMachine(int index) override;
  bool OutputOnMachine(int index) override;
  void* Alloc(size_t bytes) override;
  void Release(void* memory) override;
  void* AllocPersistent(size_t bytes) override;
  void* AllocOutput(int index, absl::Span<const int64_t> dims) override;
  void ParallelFor(int64_t total, int64_t cost_ns, LoopBody body, void* arg) override;
  bool Cancelled() override;
  void SetError(const char* message) override;

  // Whether the caller no longer wants the call's result: cancelled, or past its deadline.
  static bool Unwanted(tensorflow::OpKernelContext* ctx);

  const std::string& error() const { return error_; }
  // Whether the engine broke its contract in a callback.
  bool misused() const { return misused_; }
  std::vector<int64_t>& symbols() { return symbols_; }

 private:
  void* Misuse(const char* message);

  const OpDevice& device_;
  const CallInputs& inputs_;
  tensorflow::OpKernelContext* ctx_ = nullptr;
  const EngineSignature* signature_ = nullptr;
  BlockList* memory_ = nullptr;
  std::unique_ptr<ScratchArena> arena_;  // none on a device
  std::optional<DeviceQueue> queue_;
  DeviceBlocks scratch_;
  DeviceBlocks persistent_;
  std::vector<tensorflow::Tensor> outputs_;
  std::vector<bool> has_output_;
  std::vector<int64_t> symbols_;
  std::string error_;
  bool misused_ = false;
};

struct CallContext {
  // The device outlives it.
  CallContext(size_t engines, const OpDevice& device, std::shared_ptr<ClusterStats> cluster_stats);
  ~CallContext();
  CallContext(const CallContext&) = delete;
  CallContext& operator=(const CallContext&) = delete;

  // Begins and ends a call.
  void Begin() { host.BorrowMemory(); }
  void Rest();

  CallInputs inputs;
  TensorFlowHost host;
  // By engine: the state this context used last. Checked against the weights of each call.
  std::vector<std::shared_ptr<const BoundState>> states;

 private:
  const std::shared_ptr<ClusterStats> stats_;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_CALL_CONTEXT_H_
