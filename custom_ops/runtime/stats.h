// Counters of what engines did, readable while they run.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_STATS_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_STATS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "custom_ops/runtime/breaker.h"
#include "custom_ops/runtime/reason.h"
#include "custom_ops/runtime/shape_histogram.h"

namespace tf_blade {

using Counter = std::atomic<int64_t>;
using ReasonCounters = std::array<Counter, static_cast<size_t>(Reason::kCount)>;

inline void Count(Counter& counter, int64_t by = 1) { counter.fetch_add(by, std::memory_order_relaxed); }
inline void Count(ReasonCounters& counters, Reason reason) { Count(counters[static_cast<size_t>(reason)]); }

// The largest that was seen.
inline void CountPeak(Counter& counter, int64_t value) {
  int64_t former = counter.load(std::memory_order_relaxed);
  while (value > former && !counter.compare_exchange_weak(former, value, std::memory_order_relaxed)) {
  }
}

// What came of the calls that engine and TensorFlow both computed.
struct ShadowStats {
  Counter runs{0};     // compared
  Counter drifts{0};   // of those, beyond the tolerance
  Counter skipped{0};  // not compared: weights changed meanwhile, or TensorFlow's path was cancelled
  std::atomic<double> max_drift{0};

  void Seen(double drift) {
    double former = max_drift.load(std::memory_order_relaxed);
    while (drift > former && !max_drift.compare_exchange_weak(former, drift, std::memory_order_relaxed)) {
    }
  }
};

// A text that may change while others read it.
class SharedText {
 public:
  void Set(std::string text) {
    std::lock_guard<std::mutex> lock(mutex_);
    text_ = std::move(text);
  }
  std::string Get() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

// What is held now, `state_bytes` and the breaker's state, belongs to what lives; all else counts up.
struct EngineStats {
  int index = 0;        // in the cluster's order of preference
  std::string backend;  // empty when the file could not be parsed
  std::string hash;     // first digits of the file's SHA-256
  std::vector<std::string> symbols;
  int64_t file_bytes = 0;
  Counter runs{0};         // calls served
  Counter inits{0};        // states made
  Counter init_ns{0};      // time spent making them
  Counter state_bytes{0};  // what the states hold that calls of this cluster made and that live
  Counter openings{0};     // times the breaker opened
  // Calls not served, by reason. What is refused when it is loaded counts once a load, whatever calls come.
  ReasonCounters refused{};
  SharedText load_refusal;  // "reason: detail" of the last load, empty when it succeeded
  ShadowStats shadow;
  ShapeHistogram shapes;  // of the calls that the signature takes
  Breaker breaker;
};

struct ClusterStats {
  std::string cluster;
  Counter calls{0};
  Counter engine_runs{0};         // calls served by any engine
  Counter shadowed{0};            // calls served by TensorFlow though an engine computed them too, to compare
  ReasonCounters fallbacks{};     // other calls served by TensorFlow, by the first engine's reason that loaded
  Counter contexts{0};            // contexts of calls that live: at work and idle
  Counter call_scratch_bytes{0};  // the most scratch memory that a call needed
  std::vector<std::shared_ptr<EngineStats>> engines;
};

// The counters of a cluster with these engines. Every kernel with the same name and the same engines shares them, and
// they stay when the kernels are gone.
struct EngineIdentity {
  std::string backend;
  std::string hash;
  std::vector<std::string> symbols;
  int64_t file_bytes = 0;
};
std::shared_ptr<ClusterStats> GetClusterStats(absl::string_view cluster, const std::vector<EngineIdentity>& engines);

// What became of the calls of portable models, in the graphs that TensorFlow prepared. All but the first stay
// TensorFlow.
enum class PortableCall : uint8_t {
  kEngine,    // an engine op took its place
  kDamaged,   // its attributes are not as they were written
  kDisabled,  // TF_BLADE_DISABLE is set, or the pass is paused
  kCompiled,  // XLA compiles it
  kDevice,    // it may run on another device than a CPU
  kCount,
};
using PortableCounters = std::array<Counter, static_cast<size_t>(PortableCall::kCount)>;

// In logs and statistics, e.g. "damaged".
absl::string_view PortableCallName(PortableCall call);

// Of this process.
PortableCounters& PortableCalls();

// Of every cluster that there is or was, sorted by name and engines.
std::vector<std::shared_ptr<const ClusterStats>> AllClusterStats();

// "closed", "open" or "half_open", now.
absl::string_view BreakerState(const EngineStats& stats);

// A clock for breakers and log limiters, in nanoseconds.
int64_t NowNs();

// {"clusters": [{"cluster": ..., "calls": ..., "engine_runs": ..., "fallbacks": {reason: n}, "engines": [...]}],
// "scratch_bytes": n, "portable_calls": {what became of them: n}}; all keys are described at tf_blade/runtime.py,
// runtime_stats.
std::string StatsJson();

// Sets all that counts up to zero. Breakers stay as they are.
void ResetStats();

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_STATS_H_
