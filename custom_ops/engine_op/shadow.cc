#include "custom_ops/engine_op/shadow.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/runtime/environment.h"

namespace tf_blade {
namespace {

using tensorflow::DataType;
using tensorflow::Tensor;

constexpr double kDefaultTolerance = 1e-3;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <typename T>
double FloatDrift(const Tensor& expected, const Tensor& found) {
  const T* const a = static_cast<const T*>(expected.data());
  const T* const b = static_cast<const T*>(found.data());
  double difference = 0;
  double scale = 0;
  for (int64_t i = 0; i < expected.NumElements(); ++i) {
    const auto x = static_cast<double>(a[i]);
    const auto y = static_cast<double>(b[i]);
    if (!std::isfinite(x)) {
      if (std::isnan(x) ? !std::isnan(y) : x != y) return kInfinity;
      continue;
    }
    if (!std::isfinite(y)) return kInfinity;
    difference = std::max(difference, std::abs(x - y));
    scale = std::max(scale, std::abs(x));
  }
  return scale > 0 ? difference / scale : difference;
}

}  // namespace

ShadowPlan ShadowPlan::FromEnvironment() {
  const char* const tolerance = std::getenv("TF_BLADE_SHADOW_TOLERANCE");
  double allowed = kDefaultTolerance;
  if (tolerance != nullptr && *tolerance != '\0' && (!absl::SimpleAtod(tolerance, &allowed) || !(allowed >= 0))) {
    LogWarningOnce(absl::StrCat("TF_BLADE_SHADOW_TOLERANCE='", tolerance,
                                "' is no number from 0 on: ", kDefaultTolerance, " is used"));
    allowed = kDefaultTolerance;
  }
  return ShadowPlan(OneInFromEnvironment("TF_BLADE_SHADOW", "no call is shadowed"), allowed);
}

double ShadowPlan::Tolerance(DataType dtype) const {
  switch (dtype) {
    case tensorflow::DT_FLOAT:
    case tensorflow::DT_DOUBLE:
      return tolerance_;
    // A few units in the last place.
    case tensorflow::DT_HALF:
      return std::max(tolerance_, 4e-3);
    case tensorflow::DT_BFLOAT16:
      return std::max(tolerance_, 3e-2);
    default:
      return 0;
  }
}

double DriftOf(const Tensor& expected, const Tensor& found) {
  if (expected.dtype() != found.dtype() || expected.shape() != found.shape()) return kInfinity;
  if (expected.NumElements() == 0) return 0;
  switch (expected.dtype()) {
    case tensorflow::DT_FLOAT:
      return FloatDrift<float>(expected, found);
    case tensorflow::DT_DOUBLE:
      return FloatDrift<double>(expected, found);
    case tensorflow::DT_HALF:
      return FloatDrift<Eigen::half>(expected, found);
    case tensorflow::DT_BFLOAT16:
      return FloatDrift<tensorflow::bfloat16>(expected, found);
    default:
      return std::memcmp(expected.data(), found.data(), expected.TotalBytes()) == 0 ? 0 : kInfinity;
  }
}

}  // namespace tf_blade
