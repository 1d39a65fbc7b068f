// What the environment of the process says.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_ENVIRONMENT_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_ENVIRONMENT_H_

#include <cstdlib>

#include "absl/strings/string_view.h"

namespace tf_blade {

// TF_BLADE_DISABLE: no engine is to run.
inline bool DisabledByEnvironment() {
  const char* const value = std::getenv("TF_BLADE_DISABLE");
  return value != nullptr && *value != '\0' && absl::string_view(value) != "0";
}

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_ENVIRONMENT_H_
