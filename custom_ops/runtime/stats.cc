#include "custom_ops/runtime/stats.h"

#include <cstdio>
#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"

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

std::string ReasonsJson(const ReasonCounters& counters) {
  std::string json;
  for (size_t i = 0; i < counters.size(); ++i) {
    const int64_t count = counters[i].load(std::memory_order_relaxed);
    if (count == 0) continue;
    absl::StrAppend(&json, json.empty() ? "" : ", ", Quote(ReasonName(static_cast<Reason>(i))), ": ", count);
  }
  return absl::StrCat("{", json, "}");
}

std::string EngineJson(const EngineStats& stats) {
  return absl::StrCat("{\"index\": ", stats.index, ", \"backend\": ", Quote(stats.backend),
                      ", \"hash\": ", Quote(stats.hash), ", \"runs\": ", stats.runs.load(),
                      ", \"inits\": ", stats.inits.load(), ", \"init_ns\": ", stats.init_ns.load(),
                      ", \"refused\": ", ReasonsJson(stats.refused), "}");
}

std::string ClusterJson(const ClusterStats& stats) {
  std::string engines;
  for (const auto& engine : stats.engines) {
    absl::StrAppend(&engines, engines.empty() ? "" : ", ", EngineJson(*engine));
  }
  return absl::StrCat("{\"cluster\": ", Quote(stats.cluster), ", \"calls\": ", stats.calls.load(),
                      ", \"engine_runs\": ", stats.engine_runs.load(),
                      ", \"fallbacks\": ", ReasonsJson(stats.fallbacks), ", \"engines\": [", engines, "]}");
}

void Clear(ReasonCounters& counters) {
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
      stats->engines.push_back(std::move(entry));
    }
  }
  return stats;
}

std::string StatsJson() {
  Directory& directory = GlobalDirectory();
  std::lock_guard<std::mutex> lock(directory.mutex);
  std::string clusters;
  for (const auto& entry : directory.clusters) {
    absl::StrAppend(&clusters, clusters.empty() ? "" : ", ", ClusterJson(*entry.second));
  }
  return absl::StrCat("{\"clusters\": [", clusters, "]}");
}

void ResetStats() {
  Directory& directory = GlobalDirectory();
  std::lock_guard<std::mutex> lock(directory.mutex);
  for (auto& entry : directory.clusters) {
    ClusterStats& cluster = *entry.second;
    cluster.calls = 0;
    cluster.engine_runs = 0;
    Clear(cluster.fallbacks);
    for (auto& engine : cluster.engines) {
      engine->runs = 0;
      engine->inits = 0;
      engine->init_ns = 0;
      Clear(engine->refused);
    }
  }
}

}  // namespace tf_blade
