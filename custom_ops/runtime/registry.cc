#include "custom_ops/runtime/registry.h"

#include <map>
#include <mutex>

namespace tf_blade {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, EngineLoader, std::less<>> loaders;
};

// Never destroyed: kernels may outlive static destruction.
Registry& GlobalRegistry() {
  static Registry* const registry = std::make_unique<Registry>().release();
  return *registry;
}

}  // namespace

bool RegisterEngineLoader(absl::string_view backend, EngineLoader loader) {
  Registry& registry = GlobalRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  return registry.loaders.emplace(std::string(backend), loader).second;
}

EngineLoader FindEngineLoader(absl::string_view backend) {
  Registry& registry = GlobalRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  const auto found = registry.loaders.find(std::string(backend));
  return found == registry.loaders.end() ? nullptr : found->second;
}

std::vector<std::string> RegisteredBackends() {
  Registry& registry = GlobalRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  std::vector<std::string> names;
  for (const auto& entry : registry.loaders) names.push_back(entry.first);
  return names;
}

}  // namespace tf_blade
