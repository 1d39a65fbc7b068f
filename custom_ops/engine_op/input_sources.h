// Where an engine's inputs come from: inputs of the op, or variables that the op finds by their names.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_INPUT_SOURCES_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_INPUT_SOURCES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_blade {

// The op's attributes `variables`, `containers` and `places`.
struct NamedVariables {
  std::vector<std::string> names;
  std::vector<std::string> containers;
  std::vector<int32_t> places;  // ascending: which of all inputs each is

  // For `num_inputs` inputs of the op: for each input of the engine the op's input, or ~i for variable i. An error when
  // the attributes do not fit each other.
  absl::StatusOr<std::vector<int>> Merge(int num_inputs) const;
};

class InputSources {
 public:
  explicit InputSources(tensorflow::OpKernelConstruction* ctx);

  int size() const { return static_cast<int>(sources_.size()); }
  bool IsNamed(int input) const { return sources_[input] < 0; }

  // Which of the op's inputs it is, unless it is named.
  int OpInput(int input) const { return sources_[input]; }

  // What a function that takes these inputs would get: a value, or a variable's handle.
  const tensorflow::Tensor& Argument(tensorflow::OpKernelContext* ctx, int input) const {
    return IsNamed(input) ? handles_[~sources_[input]] : ctx->input(sources_[input]);
  }
  const tensorflow::DataTypeVector& types() const { return types_; }

 private:
  std::vector<int> sources_;
  std::vector<tensorflow::Tensor> handles_;
  tensorflow::DataTypeVector types_;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_INPUT_SOURCES_H_
