// The op library is loaded by a TensorFlow that was there before.
#include "custom_ops/engine_op/built_for.h"

// The version of the TensorFlow whose headers this is compiled against, e.g. "2.21.0". The wheel's headers do not say.
#ifndef TF_BLADE_TF_VERSION
#error "define TF_BLADE_TF_VERSION as a string"
#endif

// Found in the file by tf_blade/runtime.py, before anything of it is loaded.
extern "C" {
__attribute__((visibility("default"))) extern const char tf_blade_tensorflow_version[];
const char tf_blade_tensorflow_version[] = "TF_BLADE_BUILT_FOR_TENSORFLOW=" TF_BLADE_TF_VERSION ";";
}

namespace tf_blade {

const char* TensorFlowBuiltFor() { return TF_BLADE_TF_VERSION; }

}  // namespace tf_blade
