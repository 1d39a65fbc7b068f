// Backends that can turn an engine file into an Engine, by name.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_REGISTRY_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_REGISTRY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "custom_ops/runtime/engine.h"
#include "custom_ops/runtime/engine_file.h"

namespace tf_blade {

// Makes an engine of a parsed file, whose bytes need not outlive the call. Refusals carry a reason.
using EngineLoader = absl::StatusOr<std::unique_ptr<Engine>> (*)(const EngineFile& file);

// Called during static initialization, by other libraries too. `uses_devices` says that its engines may be able to work
// on other devices than CPUs. Returns true so that it can initialize a variable.
__attribute__((visibility("default"))) bool RegisterEngineLoader(absl::string_view backend, EngineLoader loader,
                                                                 bool uses_devices = false);

// Null when there is no such backend.
EngineLoader FindEngineLoader(absl::string_view backend);

// False when there is no such backend.
bool UsesDevices(absl::string_view backend);

// Sorted.
std::vector<std::string> RegisteredBackends();

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_REGISTRY_H_
