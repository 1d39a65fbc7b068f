#include "custom_ops/engine_op/call_inputs.h"

#include <algorithm>
#include <shared_mutex>
#include <utility>

namespace tf_blade {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::Var;

namespace {

constexpr int kReadings = 8;

// Whether a handle is that of a variable on another device than the kernel's, where it cannot be read.
bool IsElsewhere(OpKernelContext* ctx, const Tensor& handle) {
  return handle.NumElements() == 1 && handle.flat<tensorflow::ResourceHandle>()(0).device() != ctx->device()->name();
}

}  // namespace

Reason CallInputs::Collect(OpKernelContext* ctx, const InputSources& sources) {
  Reason reason = CollectOnce(ctx, sources);
  if (reason != Reason::kNone || !NoteChanges()) return reason;
  for (int i = 0; i < kReadings && !StillCurrent(ctx, sources); ++i) {
    Release();
    reason = CollectOnce(ctx, sources);
    if (reason != Reason::kNone) return reason;
    NoteChanges();
  }
  return Reason::kNone;
}

// Whether a variable's value is elsewhere than at the last call.
bool CallInputs::NoteChanges() {
  bool changed = last_.size() != variables_.size();
  last_.resize(variables_.size());
  for (size_t i = 0; i < variables_.size(); ++i) {
    const void* const data = variables_[i].data();
    changed = changed || last_[i] != data;
    last_[i] = data;
  }
  return changed;
}

// Whether no variable got another value since it was collected. Those that are locked cannot.
bool CallInputs::StillCurrent(OpKernelContext* ctx, const InputSources& sources) {
  for (int i = 0; i < sources.size(); ++i) {
    if (sources.types()[i] != tensorflow::DT_RESOURCE || is_in_place_[i]) continue;
    const VariablePtr variable = Find(ctx, sources, i);
    if (variable == nullptr) return false;
    std::shared_lock<VariableMutex> lock(*variable->mu());
    if (variable->copy_on_read_mode.load() || variable->tensor()->data() != variables_[i].data()) return false;
  }
  return true;
}

Reason CallInputs::CollectOnce(OpKernelContext* ctx, const InputSources& sources) {
  const int count = sources.size();
  variables_.resize(count);
  known_.resize(count);
  is_in_place_.assign(count, false);
  for (int i = 0; i < count; ++i) {
    if (sources.types()[i] != tensorflow::DT_RESOURCE) continue;
    const Reason reason = CollectVariable(ctx, sources, i);
    if (reason != Reason::kNone) return reason;
  }
  if (!in_place_.empty()) {
    const Reason reason = LockVariables();
    if (reason != Reason::kNone) return reason;
  }
  MakeViews(ctx, sources);
  return on_device_ ? FindMemory(ctx, sources) : Reason::kNone;
}

// A node says where its inputs are, nobody says it of variables.
Reason CallInputs::FindMemory(OpKernelContext* ctx, const InputSources& sources) {
  on_machine_.assign(sources.size(), false);
  for (int i = 0; i < sources.size(); ++i) {
    if (sources.types()[i] != tensorflow::DT_RESOURCE) {
      on_machine_[i] = ctx->input_memory_type(sources.OpInput(i)) == tensorflow::HOST_MEMORY;
      continue;
    }
    const Tensor& variable = variables_[i];
    if (!variable.IsInitialized() || variable.TotalBytes() == 0) continue;
    switch (variable.GetMemoryType()) {
      case tensorflow::AllocatorMemoryType::kDevice:
        break;
      case tensorflow::AllocatorMemoryType::kHostPageable:
      case tensorflow::AllocatorMemoryType::kHostPinned:
        on_machine_[i] = true;
        break;
      default:
        return Reason::kDevice;
    }
  }
  return Reason::kNone;
}

bool CallInputs::WrittenOnDevice(const std::vector<int>& inputs) const {
  return std::any_of(inputs.begin(), inputs.end(), [this](int i) { return is_in_place_[i] && !OnMachine(i); });
}

CallInputs::VariablePtr CallInputs::Find(OpKernelContext* ctx, const InputSources& sources, int input) {
  const bool is_named = sources.IsNamed(input);
  VariablePtr variable;
  if (is_named) variable = known_[input].GetNewRef();
  if (variable != nullptr) return variable;
  const Tensor& handle = sources.Argument(ctx, input);
  if (handle.NumElements() != 1) return nullptr;
  if (!tensorflow::LookupResource(ctx, handle.flat<tensorflow::ResourceHandle>()(0), &variable).ok()) return nullptr;
  if (is_named) known_[input] = tensorflow::core::WeakPtr<Var>(variable.get());
  return variable;
}

Reason CallInputs::CollectVariable(OpKernelContext* ctx, const InputSources& sources, int input) {
  VariablePtr variable = Find(ctx, sources, input);
  if (variable == nullptr)
    return IsElsewhere(ctx, sources.Argument(ctx, input)) ? Reason::kDevice : Reason::kUninitialized;
  {
    std::shared_lock<VariableMutex> lock(*variable->mu());
    if (!variable->is_initialized) return Reason::kUninitialized;
    // A variable enters copy-on-read mode under the exclusive lock, and never leaves it.
    if (!variable->copy_on_read_mode.load()) {
      variables_[input] = *variable->tensor();
      return Reason::kNone;
    }
  }
  is_in_place_[input] = true;
  in_place_.push_back({input, std::move(variable)});
  return Reason::kNone;
}

Reason CallInputs::LockVariables() {
  // TensorFlow's rule for locking several variables: each once, by increasing address.
  std::vector<VariableMutex*> wanted;
  for (const LockedVariable& item : in_place_) wanted.push_back(item.variable->mu());
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  for (VariableMutex* mutex : wanted) {
    mutex->lock_shared();
    locks_.push_back(mutex);
  }
  for (const LockedVariable& item : in_place_) {
    if (!item.variable->is_initialized) return Reason::kUninitialized;
    variables_[item.input] = *item.variable->tensor();
  }
  return Reason::kNone;
}

void CallInputs::Release() {
  views_.clear();
  for (Tensor& tensor : variables_) {
    if (tensor.IsInitialized()) tensor = Tensor();
  }
  for (VariableMutex* mutex : locks_) mutex->unlock_shared();
  locks_.clear();
  in_place_.clear();
}

const Tensor& CallInputs::TensorOf(OpKernelContext* ctx, const InputSources& sources, int input) const {
  return sources.types()[input] == tensorflow::DT_RESOURCE ? variables_[input] : sources.Argument(ctx, input);
}

void CallInputs::MakeViews(OpKernelContext* ctx, const InputSources& sources) {
  const int count = sources.size();
  dims_.clear();
  views_.clear();
  for (int i = 0; i < count; ++i) {
    const Tensor& tensor = TensorOf(ctx, sources, i);
    for (int d = 0; d < tensor.dims(); ++d) dims_.push_back(tensor.dim_size(d));
    views_.push_back({tensor.data(), nullptr, tensor.dims(), static_cast<int32_t>(tensor.dtype())});
  }
  // The dimensions have their final place only now.
  const int64_t* next = dims_.data();
  for (TensorView& view : views_) {
    view.dims = next;
    next += view.rank;
  }
}

WeightKey CallInputs::KeyOf(int input, bool fixed_shapes) const {
  const TensorView& view = views_[input];
  WeightKey key{view.data, 0};
  if (is_in_place_[input]) key.fingerprint = Fingerprint(view.data, variables_[input].TotalBytes(), 1);
  if (!fixed_shapes) key.fingerprint = Fingerprint(view.dims, view.rank * sizeof(int64_t), key.fingerprint + 1);
  return key;
}

bool CallInputs::Match(const std::vector<WeightKey>& key, const std::vector<int>& inputs, bool fixed_shapes) const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (key[i].data != views_[inputs[i]].data || !(key[i] == KeyOf(inputs[i], fixed_shapes))) return false;
  }
  return true;
}

std::vector<WeightKey> CallInputs::MakeKey(const std::vector<int>& inputs, bool fixed_shapes) const {
  std::vector<WeightKey> key;
  for (const int input : inputs) key.push_back(KeyOf(input, fixed_shapes));
  return key;
}

std::shared_ptr<const void> CallInputs::Retain(OpKernelContext* ctx, const InputSources& sources,
                                               const std::vector<int>& inputs) const {
  auto tensors = std::make_shared<std::vector<Tensor>>();
  for (const int input : inputs) tensors->push_back(TensorOf(ctx, sources, input));
  return tensors;
}

}  // namespace tf_blade
