// The op is a part of a program that is built together with TensorFlow.
#include "custom_ops/engine_op/built_for.h"

namespace tf_blade {

const char* TensorFlowBuiltFor() { return ""; }

}  // namespace tf_blade
