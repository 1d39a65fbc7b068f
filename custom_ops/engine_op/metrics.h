// The counters of stats.h as metrics of TensorFlow, which servers export.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_METRICS_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_METRICS_H_

#include <cstdint>
#include <string>

namespace tf_blade {

// Registers the metrics /tf_blade/... with TensorFlow's registry, once in a process. They are read from the counters
// when someone collects them, so calls do not pay for them.
void RegisterMetrics();

// One more time that weights were prepared, for the distribution of these times.
void SampleInitTime(const std::string& cluster, const std::string& engine, int64_t ns);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_METRICS_H_
