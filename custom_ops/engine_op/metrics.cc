#include "custom_ops/engine_op/metrics.h"

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "custom_ops/runtime/memory.h"
#include "custom_ops/runtime/stats.h"
#include "tensorflow/core/lib/monitoring/collection_registry.h"
#include "tensorflow/core/lib/monitoring/metric_def.h"
#include "tensorflow/core/lib/monitoring/sampler.h"

namespace tf_blade {
namespace {

using tensorflow::monitoring::CollectionRegistry;
using tensorflow::monitoring::MetricCollectorGetter;
using tensorflow::monitoring::MetricDef;
using tensorflow::monitoring::MetricKind;
using tensorflow::monitoring::Sampler;

// A metric whose points are read from the counters of all clusters.
template <MetricKind kKind, int kLabels>
class Metric {
 public:
  using Labels = std::array<std::string, kLabels>;
  using Emit = std::function<void(const Labels&, int64_t)>;
  using Read = void (*)(const ClusterStats&, const Emit&);

  template <typename... Names>
  Metric(const char* name, const char* description, Read read, const Names&... labels)
      : definition_(name, description, labels...),
        registration_(CollectionRegistry::Default()->Register(&definition_, [this, read](MetricCollectorGetter getter) {
          // Clusters of different engines may have one name: a point is their sum.
          std::map<Labels, int64_t> points;
          const Emit emit = [&points](const Labels& labels, int64_t value) { points[labels] += value; };
          for (const auto& cluster : AllClusterStats()) read(*cluster, emit);
          auto collector = getter.Get(&definition_);
          for (const auto& point : points) collector.CollectValue(point.first, point.second);
        })) {}

 private:
  const MetricDef<kKind, int64_t, kLabels> definition_;
  const std::unique_ptr<CollectionRegistry::RegistrationHandle> registration_;
};

// Scratch memory is of the process, not of a cluster.
class ScratchGauge {
 public:
  ScratchGauge(const char* name, const char* description)
      : definition_(name, description),
        registration_(CollectionRegistry::Default()->Register(&definition_, [this](MetricCollectorGetter getter) {
          getter.Get(&definition_).CollectValue({}, ScratchBytes());
        })) {}

 private:
  const MetricDef<MetricKind::kGauge, int64_t, 0> definition_;
  const std::unique_ptr<CollectionRegistry::RegistrationHandle> registration_;
};

// What became of portable calls: of the process, not of a cluster.
class PortableCounter {
 public:
  PortableCounter(const char* name, const char* description)
      : definition_(name, description, "result"),
        registration_(CollectionRegistry::Default()->Register(&definition_, [this](MetricCollectorGetter getter) {
          auto collector = getter.Get(&definition_);
          for (size_t i = 0; i < PortableCalls().size(); ++i) {
            const int64_t count = PortableCalls()[i].load();
            if (count > 0) collector.CollectValue({std::string(PortableCallName(static_cast<PortableCall>(i)))}, count);
          }
        })) {}

 private:
  const MetricDef<MetricKind::kCumulative, int64_t, 1> definition_;
  const std::unique_ptr<CollectionRegistry::RegistrationHandle> registration_;
};

using ClusterCounter = Metric<MetricKind::kCumulative, 1>;
using LabeledCounter = Metric<MetricKind::kCumulative, 2>;
using ClusterGauge = Metric<MetricKind::kGauge, 1>;
using EngineGauge = Metric<MetricKind::kGauge, 2>;

template <Counter EngineStats::*kField>
void ReadEngines(const ClusterStats& cluster, const LabeledCounter::Emit& emit) {
  for (const auto& engine : cluster.engines) emit({cluster.cluster, engine->hash}, ((*engine).*kField).load());
}

template <Counter ShadowStats::*kField>
void ReadShadow(const ClusterStats& cluster, const LabeledCounter::Emit& emit) {
  for (const auto& engine : cluster.engines) emit({cluster.cluster, engine->hash}, (engine->shadow.*kField).load());
}

void ReadFallbacks(const ClusterStats& cluster, const LabeledCounter::Emit& emit) {
  for (size_t i = 0; i < cluster.fallbacks.size(); ++i) {
    const int64_t count = cluster.fallbacks[i].load();
    if (count > 0) emit({cluster.cluster, std::string(ReasonName(static_cast<Reason>(i)))}, count);
  }
}

// "batch<=8,length<=128".
std::string ShapeLabel(const EngineStats& engine, const ShapeHistogram::Bucket& bucket) {
  std::string label;
  for (size_t i = 0; i < bucket.up_to.size() && i < engine.symbols.size(); ++i) {
    absl::StrAppend(&label, label.empty() ? "" : ",", engine.symbols[i], "<=", bucket.up_to[i]);
  }
  return bucket.up_to.empty() && !engine.symbols.empty() ? "other" : label;
}

void ReadShapes(const ClusterStats& cluster, const LabeledCounter::Emit& emit) {
  for (const auto& engine : cluster.engines) {
    for (const auto& bucket : engine->shapes.Buckets()) {
      emit({cluster.cluster, ShapeLabel(*engine, bucket)}, bucket.calls);
    }
  }
}

void ReadBreakers(const ClusterStats& cluster, const EngineGauge::Emit& emit) {
  for (const auto& engine : cluster.engines) {
    const Breaker::State state = engine->breaker.StateAt(NowNs());
    emit({cluster.cluster, engine->hash}, static_cast<int64_t>(state));
  }
}

struct Metrics {
  const ClusterCounter calls{
      "/tf_blade/calls", "Calls of an engine op.",
      [](const ClusterStats& s, const ClusterCounter::Emit& emit) { emit({s.cluster}, s.calls.load()); }, "cluster"};
  const ClusterCounter engine_runs{
      "/tf_blade/engine_runs", "Calls that an engine served.",
      [](const ClusterStats& s, const ClusterCounter::Emit& emit) { emit({s.cluster}, s.engine_runs.load()); },
      "cluster"};
  const LabeledCounter fallbacks{"/tf_blade/fallbacks", "Calls that TensorFlow served because no engine did.",
                                 ReadFallbacks, "cluster", "reason"};
  const LabeledCounter inits{"/tf_blade/inits", "Times that weights were prepared.", ReadEngines<&EngineStats::inits>,
                             "cluster", "engine"};
  const LabeledCounter openings{"/tf_blade/breaker_openings", "Times that an engine's breaker opened.",
                                ReadEngines<&EngineStats::openings>, "cluster", "engine"};
  const EngineGauge breaker{"/tf_blade/breaker", "State of an engine's breaker: 0 closed, 1 open, 2 half open.",
                            ReadBreakers, "cluster", "engine"};
  const LabeledCounter shadow_runs{"/tf_blade/shadow_runs", "Calls computed by engine and TensorFlow, and compared.",
                                   ReadShadow<&ShadowStats::runs>, "cluster", "engine"};
  const LabeledCounter shadow_drifts{"/tf_blade/shadow_drifts", "Of these, results beyond the tolerance.",
                                     ReadShadow<&ShadowStats::drifts>, "cluster", "engine"};
  const LabeledCounter shapes{"/tf_blade/shapes", "Calls by the magnitudes of unknown dimensions.", ReadShapes,
                              "cluster", "shape"};
  const ClusterGauge contexts{
      "/tf_blade/contexts", "Contexts of calls, at work and idle.",
      [](const ClusterStats& s, const ClusterGauge::Emit& emit) { emit({s.cluster}, s.contexts.load()); }, "cluster"};
  const EngineGauge bytes{"/tf_blade/bytes", "Memory held: prepared weights, engine files.",
                          [](const ClusterStats& s, const EngineGauge::Emit& emit) {
                            int64_t states = 0;
                            int64_t files = 0;
                            for (const auto& engine : s.engines) {
                              states += engine->state_bytes.load();
                              files += engine->file_bytes;
                            }
                            emit({s.cluster, "weights"}, states);
                            emit({s.cluster, "files"}, files);
                          },
                          "cluster", "kind"};
  const ClusterGauge call_scratch{
      "/tf_blade/call_scratch_bytes", "The most scratch memory that a call needed.",
      [](const ClusterStats& s, const ClusterGauge::Emit& emit) { emit({s.cluster}, s.call_scratch_bytes.load()); },
      "cluster"};
  const ScratchGauge scratch{"/tf_blade/scratch_bytes", "Scratch memory held, in calls and between them."};
  const PortableCounter portable_calls{
      "/tf_blade/portable_calls", "Calls of portable models in graphs that were prepared, by what became of them."};
  const std::unique_ptr<Sampler<2>> init_time{
      Sampler<2>::New({"/tf_blade/init_time_us", "Microseconds that preparing weights took.", "cluster", "engine"},
                      tensorflow::monitoring::Buckets::Exponential(10, 4, 12))};
};

// Never destroyed: kernels may outlive static destruction.
const Metrics& GlobalMetrics() {
  static const Metrics* const metrics = std::make_unique<Metrics>().release();
  return *metrics;
}

}  // namespace

void RegisterMetrics() { (void)GlobalMetrics(); }

void SampleInitTime(const std::string& cluster, const std::string& engine, int64_t ns) {
  GlobalMetrics().init_time->GetCell(cluster, engine)->Add(static_cast<double>(ns) / 1000);
}

}  // namespace tf_blade
