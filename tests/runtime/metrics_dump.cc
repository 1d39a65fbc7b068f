// TensorFlow's metrics whose names begin as asked, a line each: what a server's endpoint would export.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "tensorflow/core/lib/monitoring/collected_metrics.h"
#include "tensorflow/core/lib/monitoring/collection_registry.h"

namespace {

using tensorflow::monitoring::CollectionRegistry;
using tensorflow::monitoring::ValueType;

}  // namespace

// "name{label=value,...} number\n" for each point; of a distribution, the number of samples. The caller frees it.
extern "C" __attribute__((visibility("default"))) char* dump_metrics(const char* prefix) {
  const auto collected = CollectionRegistry::Default()->CollectMetrics(CollectionRegistry::CollectMetricsOptions());
  std::string text;
  for (const auto& entry : collected->point_set_map) {
    if (entry.first.rfind(prefix, 0) != 0) continue;
    for (const auto& point : entry.second->points) {
      std::string labels;
      for (const auto& label : point->labels) labels += (labels.empty() ? "" : ";") + label.name + "=" + label.value;
      const auto value = point->value_type == ValueType::kHistogram ? static_cast<int64_t>(point->histogram_value.num())
                                                                    : point->int64_value;
      text += entry.first + "{" + labels + "} " + std::to_string(value) + "\n";
    }
  }
  return strdup(text.c_str());
}
