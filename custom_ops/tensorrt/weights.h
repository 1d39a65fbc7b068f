// Weights as a plan wants them, from the values of the model's variables and constants.
#ifndef TF_BLADE_CUSTOM_OPS_TENSORRT_WEIGHTS_H_
#define TF_BLADE_CUSTOM_OPS_TENSORRT_WEIGHTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "custom_ops/runtime/engine.h"
#include "custom_ops/tensorrt/plan_data.h"

namespace tf_blade {

// The source's elements in the plan's order and of its type, as bytes. `source` is in the machine's memory.
absl::StatusOr<std::string> WeightsForPlan(const PlanWeight& weight, const TensorView& source);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_TENSORRT_WEIGHTS_H_
