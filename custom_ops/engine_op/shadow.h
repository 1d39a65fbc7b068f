// Calls that both paths compute: TensorFlow's results are returned, the engine's are compared with them.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_SHADOW_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_SHADOW_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "custom_ops/runtime/one_in.h"
#include "tensorflow/core/framework/tensor.h"

namespace tf_blade {

// How many calls are shadowed, and how far results may differ: TF_BLADE_SHADOW=1/N and TF_BLADE_SHADOW_TOLERANCE, a
// share of an output's largest magnitude (0.001 when not set).
class ShadowPlan {
 public:
  static ShadowPlan FromEnvironment();
  // None when `one_in` is 0.
  ShadowPlan(int64_t one_in, double tolerance) : one_in_(one_in), tolerance_(tolerance) {}

  bool enabled() const { return one_in_ > 0; }
  // Whether the call with this number is shadowed.
  bool Chooses(uint64_t call) const { return Chosen(call, one_in_); }
  // The drift that an output of this type may have.
  double Tolerance(tensorflow::DataType dtype) const;

 private:
  int64_t one_in_;
  double tolerance_;
};

// Largest |expected - found| over the largest finite |expected|. Infinite where they differ in kind: types, shapes,
// where NaNs and infinities are, or any difference between values that are no floats.
double DriftOf(const tensorflow::Tensor& expected, const tensorflow::Tensor& found);

class EngineSlot;

// An engine's results for a call that TensorFlow answers.
struct ShadowedCall {
  EngineSlot* slot = nullptr;
  bool probe = false;
  std::vector<tensorflow::Tensor> outputs;
  // The values that the engine saw, by input; empty for inputs that are no variables.
  std::vector<tensorflow::Tensor> variables;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_SHADOW_H_
