#include "custom_ops/runtime/registry.h"

#include <map>
#include <mutex>

namespace tf_blade {
namespace {

struct Backend {
  EngineLoader loader = nullptr;
  bool uses_devices = false;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, Backend, std::less<>> backends;
};

// Never destroyed: kernels may outlive static destruction.
Registry& GlobalRegistry() {
  static Registry* const registry = std::make_unique<Registry>().release();
  return *registry;
}

Backend Find(absl::string_view backend) {
  Registry& registry = GlobalRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  const auto found = registry.backends.find(std::string(backend));
  return found == registry.backends.end() ? Backend() : found->second;
}

}  // namespace

bool RegisterEngineLoader(absl::string_view backend, EngineLoader loader, bool uses_devices) {
  Registry& registry = GlobalRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  return registry.backends.emplace(std::string(backend), Backend{loader, uses_devices}).second;
}

EngineLoader FindEngineLoader(absl::string_view backend) { return Find(backend).loader; }

bool UsesDevices(absl::string_view backend) { return Find(backend).uses_devices; }

std::vector<std::string> RegisteredBackends() {
  Registry& registry = GlobalRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  std::vector<std::string> names;
  for (const auto& entry : registry.backends) names.push_back(entry.first);
  return names;
}

}  // namespace tf_blade
