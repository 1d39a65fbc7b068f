// Integer arithmetic that wraps, and division that reports instead of trapping.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_SCALAR_INTEGER_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_SCALAR_INTEGER_H_

#include <stdint.h>

#include <type_traits>

#include "math_bits.h"

namespace blade {

// Unsigned arithmetic of at least 32 bits: what promotes to int could overflow it.
template <typename T>
using Wrapping = std::conditional_t<(sizeof(T) > 4), uint64_t, uint32_t>;

template <typename T>
BLADE_INLINE T wrapping_add(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
}
template <typename T>
BLADE_INLINE T wrapping_sub(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
}
template <typename T>
BLADE_INLINE T wrapping_mul(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
}

// Records that some element met an error TensorFlow would report. Several threads may.
BLADE_INLINE void set_error_flag(int32_t* error) { __atomic_store_n(error, 1, __ATOMIC_RELAXED); }

// The divisor made safe: zero sets the flag, and stands as 1.
template <typename T>
BLADE_INLINE T checked_divisor(T b, int32_t* error) {
  if (__builtin_expect(b == T(0), 0)) {
    set_error_flag(error);
    return T(1);
  }
  return b;
}

template <typename T>
BLADE_INLINE bool is_minus_one(T b) {
  return std::is_signed_v<T> && b == static_cast<T>(-1);
}

// A division by zero gives 0. The lowest integer by -1, which would trap, wraps.
template <typename T>
BLADE_INLINE T int_truncate_div(T a, T b, int32_t* error) {
  T d = checked_divisor(b, error);
  T q = is_minus_one(d) ? wrapping_sub(T(0), a) : static_cast<T>(a / (is_minus_one(d) ? T(1) : d));
  return b == T(0) ? T(0) : q;
}
template <typename T>
BLADE_INLINE T int_truncate_mod(T a, T b, int32_t* error) {
  T d = checked_divisor(b, error);
  return is_minus_one(d) ? T(0) : static_cast<T>(a % d);
}
template <typename T>
BLADE_INLINE T int_floor_mod(T a, T b, int32_t* error) {
  T r = int_truncate_mod(a, b, error);
  return r != T(0) && ((r < T(0)) != (b < T(0))) ? static_cast<T>(r + b) : r;
}
template <typename T>
BLADE_INLINE T int_floor_div(T a, T b, int32_t* error) {
  T q = int_truncate_div(a, b, error);
  T r = wrapping_sub(a, wrapping_mul(q, b));
  return b != T(0) && r != T(0) && ((r < T(0)) != (b < T(0))) ? static_cast<T>(q - 1) : q;
}

// Shift amounts are clamped to what the type allows, as TensorFlow's bitwise_ops.h does.
template <typename T>
BLADE_INLINE T clamp_shift(T b) {
  constexpr T kMost = static_cast<T>(sizeof(T) * 8 - 1);
  T y = b < T(0) ? T(0) : b;
  return y > kMost ? kMost : y;
}
template <typename T>
BLADE_INLINE T int_left_shift(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) << clamp_shift(b));
}
template <typename T>
BLADE_INLINE T int_right_shift(T a, T b) {
  return static_cast<T>(a >> clamp_shift(b));
}

}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_SCALAR_INTEGER_H_
