#include "custom_ops/runtime/stats.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "custom_ops/runtime/memory.h"

namespace tf_blade {
namespace {

struct Directory {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<ClusterStats>> clusters;
};

// Never destroyed: kernels may outlive static destruction.
Directory& GlobalDirectory() {
  static Directory* const directory = std::make_unique<Directory>().release();
  return *directory;
}

std::string Quote(absl::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted.push_back('\\');
      quoted.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", c);
      quoted += escape;
    } else {
      quoted.push_back(c);
    }
  }
  return quoted + "\"";
}

// {name: count} of those that are not zero.
template <typename Counters, typename Name>
std::string CountersJson(const Counters& counters, const Name& name_of) {
  std::string json;
  for (size_t i = 0; i < counters.size(); ++i) {
    const int64_t count = counters[i].load(std::memory_order_relaxed);
    if (count == 0) continue;
    absl::StrAppend(&json, json.empty() ? "" : ", ", Quote(name_of(i)), ": ", count);
  }
  return absl::StrCat("{", json, "}");
}

std::string ReasonsJson(const ReasonCounters& counters) {
  return CountersJson(counters, [](size_t i) { return ReasonName(static_cast<Reason>(i)); });
}

std::string PortableCallsJson() {
  return CountersJson(PortableCalls(), [](size_t i) { return PortableCallName(static_cast<PortableCall>(i)); });
}

// The bucket's bounds as {symbol: bound}; "?" stands for a symbol that is unknown when the call begins.
std::string BoundsJson(const EngineStats& stats, const ShapeHistogram::Bucket& bucket) {
  std::string bounds;
  for (size_t i = 0; i < std::min(bucket.up_to.size(), stats.symbols.size()); ++i) {
    const int64_t bound = bucket.up_to[i];
    absl::StrAppend(&bounds, bounds.empty() ? "" : ", ", Quote(stats.symbols[i]), ": ",
                    bound < 0 ? std::string("null") : absl::StrCat(bound));
  }
  return absl::StrCat("{", bounds, "}");
}

std::string ShapesJson(const EngineStats& stats) {
  std::string json;
  for (const ShapeHistogram::Bucket& bucket : stats.shapes.Buckets()) {
    absl::StrAppend(&json, json.empty() ? "" : ", ", "{\"up_to\": ", BoundsJson(stats, bucket),
                    ", \"calls\": ", bucket.calls, "}");
  }
  return absl::StrCat("[", json, "]");
}

std::string ShadowJson(const ShadowStats& stats) {
  return absl::StrCat("{\"runs\": ", stats.runs.load(), ", \"drifts\": ", stats.drifts.load(),
                      ", \"skipped\": ", stats.skipped.load(),
                      // JSON has no infinity.
                      ", \"max_drift\": ", std::min(stats.max_drift.load(), 1e300), "}");
}

std::string EngineJson(const EngineStats& stats) {
  return absl::StrCat(
      "{\"index\": ", stats.index, ", \"backend\": ", Quote(stats.backend), ", \"hash\": ", Quote(stats.hash),
      ", \"file_bytes\": ", stats.file_bytes, ", \"runs\": ", stats.runs.load(), ", \"inits\": ", stats.inits.load(),
      ", \"init_ns\": ", stats.init_ns.load(), ", \"state_bytes\": ", stats.state_bytes.load(),
      ", \"breaker\": ", Quote(BreakerState(stats)), ", \"openings\": ", stats.openings.load(),
      ", \"refused\": ", ReasonsJson(stats.refused), ", \"load_refusal\": ", Quote(stats.load_refusal.Get()),
      ", \"shadow\": ", ShadowJson(stats.shadow), ", \"shapes\": ", ShapesJson(stats), "}");
}

std::string ClusterJson(const ClusterStats& stats) {
  std::string engines;
  for (const auto& engine : stats.engines) {
    absl::StrAppend(&engines, engines.empty() ? "" : ", ", EngineJson(*engine));
  }
  return absl::StrCat("{\"cluster\": ", Quote(stats.cluster), ", \"calls\": ", stats.calls.load(),
                      ", \"engine_runs\": ", stats.engine_runs.load(), ", \"shadowed\": ", stats.shadowed.load(),
                      ", \"fallbacks\": ", ReasonsJson(stats.fallbacks), ", \"contexts\": ", stats.contexts.load(),
                      ", \"call_scratch_bytes\": ", stats.call_scratch_bytes.load(), ", \"engines\": [", engines, "]}");
}

template <typename Counters>
void Clear(Counters& counters) {
  for (Counter& counter : counters) counter = 0;
}

}  // namespace

std::shared_ptr<ClusterStats> GetClusterStats(absl::string_view cluster, const std::vector<EngineIdentity>& engines) {
  std::string key(cluster);
  for (const EngineIdentity& engine : engines) absl::StrAppend(&key, "\n", engine.hash);
  Directory& directory = GlobalDirectory();
  std::lock_guard<std::mutex> lock(directory.mutex);
  std::shared_ptr<ClusterStats>& stats = directory.clusters[key];
  if (stats == nullptr) {
    stats = std::make_shared<ClusterStats>();
    stats->cluster = std::string(cluster);
    for (const EngineIdentity& engine : engines) {
      auto entry = std::make_shared<EngineStats>();
      entry->index = static_cast<int>(stats->engines.size());
      entry->backend = engine.backend;
      entry->hash = engine.hash;
      entry->symbols = engine.symbols;
      entry->file_bytes = engine.file_bytes;
      stats->engines.push_back(std::move(entry));
    }
  }
  return stats;
}

absl::string_view PortableCallName(PortableCall call) {
  constexpr std::array<absl::string_view, static_cast<size_t>(PortableCall::kCount)> kNames = {
      "engine", "damaged", "disabled", "compiled", "device"};
  return kNames[static_cast<size_t>(call)];
}

PortableCounters& PortableCalls() {
  static PortableCounters* const counters = std::make_unique<PortableCounters>().release();
  return *counters;
}

std::vector<std::shared_ptr<const ClusterStats>> AllClusterStats() {
  Directory& directory = GlobalDirectory();
  std::lock_guard<std::mutex> lock(directory.mutex);
  std::vector<std::shared_ptr<const ClusterStats>> all;
  for (const auto& entry : directory.clusters) all.push_back(entry.second);
  return all;
}

absl::string_view BreakerState(const EngineStats& stats) {
  switch (stats.breaker.StateAt(NowNs())) {
    case Breaker::State::kClosed:
      return "closed";
    case Breaker::State::kOpen:
      return "open";
    default:
      return "half_open";
  }
}

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string StatsJson() {
  std::string clusters;
  for (const auto& cluster : AllClusterStats()) {
    absl::StrAppend(&clusters, clusters.empty() ? "" : ", ", ClusterJson(*cluster));
  }
  return absl::StrCat("{\"clusters\": [", clusters, "], \"scratch_bytes\": ", ScratchBytes(),
                      ", \"portable_calls\": ", PortableCallsJson(), "}");
}

void ResetStats() {
  Clear(PortableCalls());
  Directory& directory = GlobalDirectory();
  std::lock_guard<std::mutex> lock(directory.mutex);
  for (auto& entry : directory.clusters) {
    ClusterStats& cluster = *entry.second;
    cluster.calls = 0;
    cluster.engine_runs = 0;
    cluster.shadowed = 0;
    cluster.call_scratch_bytes = 0;
    Clear(cluster.fallbacks);
    for (auto& engine : cluster.engines) {
      engine->runs = 0;
      engine->inits = 0;
      engine->init_ns = 0;
      engine->openings = 0;
      Clear(engine->refused);
      engine->shadow.runs = 0;
      engine->shadow.drifts = 0;
      engine->shadow.skipped = 0;
      engine->shadow.max_drift = 0;
      engine->shapes.Clear();
    }
  }
}

}  // namespace tf_blade
