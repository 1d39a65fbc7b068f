// The inputs of one call as engines see them: variables looked up, every tensor a plain view.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_CALL_INPUTS_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_CALL_INPUTS_H_

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "custom_ops/engine_op/input_sources.h"
#include "custom_ops/runtime/loaded_engine.h"
#include "custom_ops/runtime/reason.h"
#include "custom_ops/runtime/signature.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"

namespace tf_blade {

using VariableMutex = std::remove_pointer_t<decltype(std::declval<tensorflow::Var&>().mu())>;

// Reused from call to call, so that a call allocates nothing here once it has seen its largest ranks.
class CallInputs {
 public:
  // `on_device`: whether the kernel is not on a CPU.
  explicit CallInputs(bool on_device) : on_device_(on_device) {}
  ~CallInputs() { Release(); }
  CallInputs(const CallInputs&) = delete;
  CallInputs& operator=(const CallInputs&) = delete;

  // Takes the inputs of a call: kUninitialized when a variable has no value, kDevice when it is on another device than
  // the kernel, or in memory that nobody can tell from a device's, else kNone. The variables' values are such
  // that all of them were current at one moment: where one changed since the last call, they are read until two
  // readings agree (a few times at most, should they change without end). Variables in copy-on-read mode
  // (those that sparse ops touched) stay locked for readers until Release, as TensorFlow's own gather does it: their
  // buffers are written in place. All others are held by reference: writers see it and write elsewhere.
  Reason Collect(tensorflow::OpKernelContext* ctx, const InputSources& sources);

  // Gives up locks and references. Must precede a call of the fallback, which may take the same locks.
  void Release();

  absl::Span<const TensorView> views() const { return views_; }

  // Whether the weights are those that `key` was made of. `inputs` lists the weights' indices.
  bool Match(const std::vector<WeightKey>& key, const std::vector<int>& inputs, bool fixed_shapes) const;
  std::vector<WeightKey> MakeKey(const std::vector<int>& inputs, bool fixed_shapes) const;

  // Whether some variable is written in place.
  bool has_in_place() const { return !in_place_.empty(); }

  // Whether one of these inputs is, where nobody can look for changes.
  bool WrittenOnDevice(const std::vector<int>& inputs) const;

  // Whether an input is in the machine's memory; all are for kernels on CPUs.
  bool OnMachine(int input) const { return !on_device_ || on_machine_[input]; }

  // The variables' values, by input.
  const std::vector<tensorflow::Tensor>& variables() const { return variables_; }

  // References on the tensors of these inputs.
  std::shared_ptr<const void> Retain(tensorflow::OpKernelContext* ctx, const InputSources& sources,
                                     const std::vector<int>& inputs) const;

 private:
  struct LockedVariable {
    int input;
    tensorflow::core::RefCountPtr<tensorflow::Var> variable;
  };

  using VariablePtr = tensorflow::core::RefCountPtr<tensorflow::Var>;

  Reason FindMemory(tensorflow::OpKernelContext* ctx, const InputSources& sources);
  Reason CollectOnce(tensorflow::OpKernelContext* ctx, const InputSources& sources);
  bool NoteChanges();
  bool StillCurrent(tensorflow::OpKernelContext* ctx, const InputSources& sources);
  Reason CollectVariable(tensorflow::OpKernelContext* ctx, const InputSources& sources, int input);
  VariablePtr Find(tensorflow::OpKernelContext* ctx, const InputSources& sources, int input);
  Reason LockVariables();
  const tensorflow::Tensor& TensorOf(tensorflow::OpKernelContext* ctx, const InputSources& sources, int input) const;
  void MakeViews(tensorflow::OpKernelContext* ctx, const InputSources& sources);
  WeightKey KeyOf(int input, bool fixed_shapes) const;

  const bool on_device_;
  std::vector<bool> on_machine_;  // by input; for kernels on devices

  // By input: the variable that had the name at the last call. A reference of its own would keep a variable that its
  // owner has destroyed; this one is empty then, and the name is looked up again.
  std::vector<tensorflow::core::WeakPtr<tensorflow::Var>> known_;
  std::vector<tensorflow::Tensor> variables_;  // by input; empty tensors for inputs that are no variables
  std::vector<const void*> last_;              // by input: where the variable's value was at the last call
  std::vector<LockedVariable> in_place_;
  std::vector<VariableMutex*> locks_;
  std::vector<bool> is_in_place_;
  std::vector<int64_t> dims_;
  std::vector<TensorView> views_;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_CALL_INPUTS_H_
