// The op's shape function, from the engines' symbolic signatures.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_SHAPE_FN_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_SHAPE_FN_H_

#include "absl/status/status.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tf_blade {

// Never fails for the sake of an engine: where nothing can be said, shapes are unknown.
absl::Status BladeEngineShapeFn(tensorflow::shape_inference::InferenceContext* c);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_SHAPE_FN_H_
