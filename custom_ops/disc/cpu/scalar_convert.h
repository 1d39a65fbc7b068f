// fn_convert and fn_bitcast: TensorFlow's Cast and Bitcast, for one element.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_SCALAR_CONVERT_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_SCALAR_CONVERT_H_

#include <stdint.h>

#include <type_traits>

#include "half.h"
#include "math_bits.h"

namespace blade {

template <typename T>
struct IsHalf {
  static constexpr bool value = false;
};
template <>
struct IsHalf<f16_t> {
  static constexpr bool value = true;
};
template <>
struct IsHalf<bf16_t> {
  static constexpr bool value = true;
};

template <typename T>
struct IsFloat {
  static constexpr bool value = IsHalf<T>::value;
};
template <>
struct IsFloat<float> {
  static constexpr bool value = true;
};
template <>
struct IsFloat<double> {
  static constexpr bool value = true;
};

// Truncation with x86's result, the lowest integer, for NaN and for what is out of range; C++ leaves that undefined.
//
// What truncates to 0 is made 0 first: where the result is converted back, GCC without trapping math makes both a
// rounding of x, which is -0 for -0.5.
template <typename F>
BLADE_INLINE F zero_below_one(F x) {
  return (x > F(-1)) & (x < F(1)) ? F(0) : x;
}
BLADE_INLINE int32_t truncate_to_i32(float x) {
  return (x >= -0x1p31f) & (x < 0x1p31f) ? static_cast<int32_t>(zero_below_one(x)) : INT32_MIN;
}
BLADE_INLINE int32_t truncate_to_i32(double x) {
  return (x > -0x1.00000002p31) & (x < 0x1p31) ? static_cast<int32_t>(zero_below_one(x)) : INT32_MIN;
}
template <typename F>
BLADE_INLINE int64_t truncate_to_i64(F x) {
  return (x >= F(-0x1p63)) & (x < F(0x1p63)) ? static_cast<int64_t>(zero_below_one(x)) : INT64_MIN;
}
template <typename F>
BLADE_INLINE uint64_t truncate_to_u64(F x) {
  bool high = x >= F(0x1p63);
  uint64_t y = static_cast<uint64_t>(truncate_to_i64(high ? x - F(0x1p63) : x));
  return high ? y ^ 0x8000000000000000u : y;
}

template <typename To, typename From>
BLADE_INLINE To fn_convert(From x) {
  if constexpr (IsHalf<From>::value) {
    return fn_convert<To>(to_float(x));
  } else if constexpr (IsHalf<To>::value) {
    return from_float<To>(static_cast<float>(x));
  } else if constexpr (IsFloat<From>::value && !IsFloat<To>::value) {
    if constexpr (std::is_same_v<To, bool>) {
      return x != From(0);
    } else if constexpr (std::is_same_v<To, uint64_t>) {
      return truncate_to_u64(x);
    } else if constexpr (sizeof(To) == 8 || std::is_same_v<To, uint32_t>) {
      return static_cast<To>(truncate_to_i64(x));
    } else {
      return static_cast<To>(truncate_to_i32(x));
    }
  } else if constexpr (std::is_same_v<From, bool>) {
    return x ? To(1) : To(0);  // which compilers vectorize, unlike the conversion
  } else {
    return static_cast<To>(x);
  }
}

template <typename To, typename From>
BLADE_INLINE To fn_bitcast(From x) {
  return math::bit_cast<To>(x);
}

}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_SCALAR_CONVERT_H_
