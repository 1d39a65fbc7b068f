// Counters of what engines did, readable while they run.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_STATS_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_STATS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "custom_ops/runtime/reason.h"

namespace tf_blade {

using Counter = std::atomic<int64_t>;
using ReasonCounters = std::array<Counter, static_cast<size_t>(Reason::kCount)>;

inline void Count(Counter& counter, int64_t by = 1) { counter.fetch_add(by, std::memory_order_relaxed); }
inline void Count(ReasonCounters& counters, Reason reason) { Count(counters[static_cast<size_t>(reason)]); }

struct EngineStats {
  int index = 0;             // in the cluster's order of preference
  std::string backend;       // empty when the file could not be parsed
  std::string hash;          // first digits of the file's SHA-256
  Counter runs{0};           // calls served
  Counter inits{0};          // states made
  Counter init_ns{0};        // time spent making them
  ReasonCounters refused{};  // calls not served, by reason
};

struct ClusterStats {
  std::string cluster;
  Counter calls{0};
  Counter engine_runs{0};      // calls served by any engine
  ReasonCounters fallbacks{};  // calls served by TensorFlow, by the reason of the engine most preferred
  std::vector<std::shared_ptr<EngineStats>> engines;
};

// The counters of a cluster with these engines. Every kernel with the same name and the same engines shares them, and
// they stay when the kernels are gone.
struct EngineIdentity {
  std::string backend;
  std::string hash;
};
std::shared_ptr<ClusterStats> GetClusterStats(absl::string_view cluster, const std::vector<EngineIdentity>& engines);

// {"clusters": [{"cluster": ..., "calls": ..., "engine_runs": ..., "fallbacks": {reason: n}, "engines": [...]}]}
std::string StatsJson();

// Sets all counters to zero.
void ResetStats();

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_STATS_H_
