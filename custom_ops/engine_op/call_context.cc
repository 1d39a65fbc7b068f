#include "custom_ops/engine_op/call_context.h"

#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "tensorflow/core/framework/cancellation.h"

namespace tf_blade {
namespace {

constexpr size_t kMaxErrorText = 1024;

// What outputs without elements point to.
alignas(kMemoryAlignment) char no_elements[kMemoryAlignment];

}  // namespace

void TensorFlowHost::Begin(tensorflow::OpKernelContext* ctx, const EngineSignature* signature, BlockList* memory) {
  ctx_ = ctx;
  signature_ = signature;
  memory_ = memory;
  misused_ = false;
  error_.clear();
  outputs_.resize(signature == nullptr ? 0 : signature->outputs.size());
  has_output_.assign(outputs_.size(), false);
}

size_t TensorFlowHost::ReturnMemory() {
  const size_t peak = arena_->busy_peak();
  ReturnArena(std::move(arena_));
  return peak;
}

void TensorFlowHost::Forget() {
  outputs_.clear();
  arena_->Reset();
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

void* TensorFlowHost::Alloc(size_t bytes) { return arena_->Allocate(bytes); }

void TensorFlowHost::Release(void* memory) { arena_->Release(memory); }

void* TensorFlowHost::AllocPersistent(size_t bytes) {
  return memory_ == nullptr ? Misuse("persistent memory is for init only") : memory_->Allocate(bytes);
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

CallContext::CallContext(size_t engines, std::shared_ptr<ClusterStats> cluster_stats)
    : states(engines), stats_(std::move(cluster_stats)) {
  Count(stats_->contexts);
}

CallContext::~CallContext() { Count(stats_->contexts, -1); }

void CallContext::Rest() {
  inputs.Release();
  CountPeak(stats_->call_scratch_bytes, static_cast<int64_t>(host.ReturnMemory()));
}

}  // namespace tf_blade
