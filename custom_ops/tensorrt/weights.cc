#include "custom_ops/tensorrt/weights.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "custom_ops/runtime/reason.h"
#include "custom_ops/tensorrt/nvinfer.h"

namespace tf_blade {
namespace {

absl::Status Unfit(const PlanWeight& weight, absl::string_view why) {
  return Refuse(Reason::kInitError, absl::StrCat("weights '", weight.name, "': ", why));
}

uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// To the nearest, ties to even; a NaN stays one.
uint16_t ToBFloat16(float value) {
  const uint32_t bits = BitsOf(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// The same, with what is too large for it becoming infinite and what is too small for normal numbers losing digits.
uint16_t ToHalf(float value) {
  const uint32_t bits = BitsOf(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // from 65520 on
  if (magnitude >= 0x38800000u) {
    const uint32_t rebased = magnitude - 0x38000000u;
    return static_cast<uint16_t>(sign | ((rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13));
  }
  // Adding a number whose last digit is the smallest half rounds as the processor does.
  float small;
  std::memcpy(&small, &magnitude, sizeof(small));
  return static_cast<uint16_t>(sign | (BitsOf(small + 0.5f) - 0x3f000000u));
}

// Calls fn(i) with the index of the source's element for each element of the plan's, in the plan's order.
template <typename Fn>
void InPlanOrder(const PlanWeight& weight, const Fn& fn) {
  const int rank = static_cast<int>(weight.dims.size());
  std::vector<int64_t> strides(rank, 1);
  for (int d = rank - 2; d >= 0; --d) strides[d] = strides[d + 1] * weight.dims[d + 1];
  std::vector<int64_t> index(rank, 0);
  int64_t count = 1;
  for (const int64_t dim : weight.dims) count *= dim;
  int64_t at = 0;
  for (int64_t i = 0; i < count; ++i) {
    fn(at);
    for (int d = rank - 1; d >= 0; --d) {
      const int axis = weight.permutation[d];
      at += strides[axis];
      if (++index[d] < weight.dims[axis]) break;
      at -= strides[axis] * weight.dims[axis];
      index[d] = 0;
    }
  }
}

template <typename T>
std::string Reordered(const PlanWeight& weight, const void* source, size_t count) {
  std::string bytes(count * sizeof(T), '\0');
  const T* const from = static_cast<const T*>(source);
  char* to = bytes.data();
  InPlanOrder(weight, [&to, from](int64_t i) {
    std::memcpy(to, from + i, sizeof(T));
    to += sizeof(T);
  });
  return bytes;
}

template <typename Round>
std::string Rounded(const PlanWeight& weight, const void* source, size_t count, const Round& round) {
  std::string bytes(count * sizeof(uint16_t), '\0');
  const auto* const from = static_cast<const float*>(source);
  char* to = bytes.data();
  InPlanOrder(weight, [&to, from, &round](int64_t i) {
    const uint16_t value = round(from[i]);
    std::memcpy(to, &value, sizeof(value));
    to += sizeof(value);
  });
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> WeightsForPlan(const PlanWeight& weight, const TensorView& source) {
  size_t count = 1;
  bool fits = source.rank == static_cast<int>(weight.dims.size());
  for (int d = 0; fits && d < source.rank; ++d) {
    fits = source.dims[d] == weight.dims[d];
    count *= static_cast<size_t>(source.dims[d]);
  }
  if (!fits) return Unfit(weight, "their source has other dimensions");
  if (source.dtype == weight.dtype) {
    switch (ElementBytes(source.dtype)) {
      case 1:
        return Reordered<uint8_t>(weight, source.data, count);
      case 2:
        return Reordered<uint16_t>(weight, source.data, count);
      case 8:
        return Reordered<uint64_t>(weight, source.data, count);
      default:
        return Reordered<uint32_t>(weight, source.data, count);
    }
  }
  if (source.dtype == BLADE_F32 && weight.dtype == BLADE_F16) return Rounded(weight, source.data, count, ToHalf);
  if (source.dtype == BLADE_F32 && weight.dtype == BLADE_BF16) return Rounded(weight, source.data, count, ToBFloat16);
  return Unfit(weight, absl::StrCat("there is no way from element type ", source.dtype, " to ", weight.dtype));
}

}  // namespace tf_blade
