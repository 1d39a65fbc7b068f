#include "custom_ops/engine_op/call_context.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/time/clock.h"
#include "tensorflow/core/framework/cancellation.h"

namespace tf_blade {
namespace {

constexpr size_t kMaxErrorText = 1024;

// What outputs without elements point to.
alignas(kMemoryAlignment) char no_elements[kMemoryAlignment];

}  // namespace

void* DeviceBlocks::Allocate(tensorflow::OpKernelContext* ctx, size_t bytes) {
  tensorflow::Tensor block;
  if (bytes > static_cast<size_t>(std::numeric_limits<int64_t>::max())) return nullptr;
  const tensorflow::TensorShape shape({static_cast<int64_t>(std::max<size_t>(bytes, 1))});
  if (!ctx->allocate_temp(tensorflow::DT_UINT8, shape, &block).ok()) return nullptr;
  blocks_.push_back(std::move(block));
  return blocks_.back().data();
}

void DeviceBlocks::FreeSince(const void* memory) {
  const auto is_it = [memory](const tensorflow::Tensor& block) { return block.data() == memory; };
  blocks_.erase(std::find_if(blocks_.begin(), blocks_.end(), is_it), blocks_.end());
}

std::shared_ptr<const void> DeviceBlocks::Take() {
  if (blocks_.empty()) return nullptr;
  auto taken = std::make_shared<std::vector<tensorflow::Tensor>>();
  taken->swap(blocks_);
  return taken;
}

void TensorFlowHost::Begin(tensorflow::OpKernelContext* ctx, const EngineSignature* signature, BlockList* memory) {
  ctx_ = ctx;
  signature_ = signature;
  memory_ = memory;
  misused_ = false;
  error_.clear();
  queue_ = device_.QueueOf(ctx);
  outputs_.resize(signature == nullptr ? 0 : signature->outputs.size());
  has_output_.assign(outputs_.size(), false);
}

void TensorFlowHost::BorrowMemory() {
  if (device_.is_machine()) arena_ = BorrowArena();
}

size_t TensorFlowHost::ReturnMemory() {
  if (arena_ == nullptr) return 0;
  const size_t peak = arena_->busy_peak();
  ReturnArena(std::move(arena_));
  return peak;
}

void TensorFlowHost::Forget() {
  if (ctx_ == nullptr) return;
  outputs_.clear();
  scratch_.FreeAll();
  persistent_.FreeAll();
  if (arena_ != nullptr) arena_->Reset();
  ctx_ = nullptr;
}

bool TensorFlowHost::TakeOutputs(std::vector<tensorflow::Tensor>* kept) {
  for (const bool has_output : has_output_) {
    if (!has_output) return false;
  }
  if (kept != nullptr) {
    kept->swap(outputs_);
    return true;
  }
  for (size_t i = 0; i < outputs_.size(); ++i) ctx_->set_output(static_cast<int>(i), std::move(outputs_[i]));
  return true;
}

int TensorFlowHost::NumThreads() { return IntraOpPool(ctx_).NumThreads(); }

bool TensorFlowHost::InputOnMachine(int index) { return !queue_.has_value() || inputs_.OnMachine(index); }

bool TensorFlowHost::OutputOnMachine(int index) {
  return !queue_.has_value() || ctx_->output_memory_type(index) == tensorflow::HOST_MEMORY;
}

void* TensorFlowHost::Alloc(size_t bytes) {
  return queue_.has_value() ? scratch_.Allocate(ctx_, bytes) : arena_->Allocate(bytes);
}

void TensorFlowHost::Release(void* memory) {
  queue_.has_value() ? scratch_.FreeSince(memory) : arena_->Release(memory);
}

void* TensorFlowHost::AllocPersistent(size_t bytes) {
  if (memory_ == nullptr) return Misuse("persistent memory is for init only");
  return queue_.has_value() ? persistent_.Allocate(ctx_, bytes) : memory_->Allocate(bytes);
}

void* TensorFlowHost::AllocOutput(int index, absl::Span<const int64_t> dims) {
  if (signature_ == nullptr || index < 0 || index >= static_cast<int>(outputs_.size())) {
    return Misuse("there is no such output");
  }
  if (has_output_[index]) return Misuse("an output was allocated twice");
  if (!signature_->OutputFits(index, dims, symbols_)) return Misuse("an output's dimensions are not the signature's");
  tensorflow::TensorShape shape;
  tensorflow::Tensor& output = outputs_[index];
  const auto dtype = static_cast<tensorflow::DataType>(signature_->outputs[index].dtype);
  if (!tensorflow::TensorShape::BuildTensorShape(dims, &shape).ok() ||
      !ctx_->allocate_temp(dtype, shape, &output, ctx_->output_alloc_attr(index)).ok()) {
    SetError("no memory for an output");
    return nullptr;
  }
  has_output_[index] = true;
  return shape.num_elements() == 0 ? no_elements : output.data();
}

void TensorFlowHost::ParallelFor(int64_t total, int64_t cost_ns, LoopBody body, void* arg) {
  IntraOpPool pool(ctx_);
  tf_blade::ParallelFor(pool, total, cost_ns, body, arg);
}

bool TensorFlowHost::Cancelled() {
  // A state is shared: the request that happens to make it must not take it from the others.
  return memory_ == nullptr && Unwanted(ctx_);
}

bool TensorFlowHost::Unwanted(tensorflow::OpKernelContext* ctx) {
  tensorflow::CancellationManager* const manager = ctx->cancellation_manager();
  if (manager != nullptr && manager->IsCancelled()) return true;
  return ctx->deadline().has_value() && absl::Now() > *ctx->deadline();
}

void TensorFlowHost::SetError(const char* message) {
  if (message != nullptr) error_.assign(message, strnlen(message, kMaxErrorText));
}

void* TensorFlowHost::Misuse(const char* message) {
  misused_ = true;
  SetError(message);
  return nullptr;
}

CallContext::CallContext(size_t engines, const OpDevice& device, std::shared_ptr<ClusterStats> cluster_stats)
    : inputs(!device.is_machine()), host(device, inputs), states(engines), stats_(std::move(cluster_stats)) {
  Count(stats_->contexts);
}

CallContext::~CallContext() { Count(stats_->contexts, -1); }

void CallContext::Rest() {
  inputs.Release();
  host.Forget();  // what a call that ran out of memory has left
  CountPeak(stats_->call_scratch_bytes, static_cast<int64_t>(host.ReturnMemory()));
}

}  // namespace tf_blade
