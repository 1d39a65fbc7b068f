// The environment variables that decide how engines run.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_ENVIRONMENT_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_ENVIRONMENT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace tf_blade {

// Writes a message to the log unless this process has written the same before.
void LogWarningOnce(absl::string_view message);
void LogErrorOnce(absl::string_view message);

// Warns of variables whose names begin with TF_BLADE_ and that nothing reads: a misspelt one would protect or disable
// nothing, and nobody would know. The first call in a process does it, for all that is set by then: nobody can walk the
// environment safely while a thread changes it, so it is not walked for every kernel.
void WarnOfUnknownVariables();

// TF_BLADE_DISABLE: whether no engine runs. 0 and 1 are meant; anything else disables too.
bool DisabledByEnvironment();

// N of a variable with the value "1/N"; 0 where it is not set, empty or malformed. `meaning` says what a malformed one
// leads to.
int64_t OneInFromEnvironment(const char* variable, absl::string_view meaning);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_ENVIRONMENT_H_
