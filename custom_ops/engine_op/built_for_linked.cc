// The op is a part of a program that is built together with TensorFlow.
#include "custom_ops/engine_op/built_for.h"

namespace tf_blade {

std::string TensorFlowBuiltFor() { return ""; }

}  // namespace tf_blade
