// Bit-level helpers shared by the scalar math functions.
//
// All of blade::math is branch-free unless a comment says otherwise, so that a compiler turns loops over it into vector
// code. It relies on neither -ffast-math nor its absence of contraction: where an exact product matters, the code says
// fma(); where an exact sum matters, it uses additions alone.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_BITS_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_BITS_H_

#include <stddef.h>
#include <stdint.h>

#define BLADE_INLINE static inline __attribute__((always_inline))

namespace blade {
namespace math {

template <typename To, typename From>
BLADE_INLINE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "bit_cast keeps the size");
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}

BLADE_INLINE uint32_t bits(float x) { return bit_cast<uint32_t>(x); }
BLADE_INLINE uint64_t bits(double x) { return bit_cast<uint64_t>(x); }
BLADE_INLINE float from_bits(uint32_t x) { return bit_cast<float>(x); }
BLADE_INLINE double from_bits(uint64_t x) { return bit_cast<double>(x); }

BLADE_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
BLADE_INLINE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
BLADE_INLINE float abs(float x) { return __builtin_fabsf(x); }
BLADE_INLINE double abs(double x) { return __builtin_fabs(x); }
BLADE_INLINE float copysign(float x, float sign) { return __builtin_copysignf(x, sign); }
BLADE_INLINE double copysign(double x, double sign) { return __builtin_copysign(x, sign); }
BLADE_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }
BLADE_INLINE double sqrt(double x) { return __builtin_sqrt(x); }
BLADE_INLINE float floor(float x) { return __builtin_floorf(x); }
BLADE_INLINE double floor(double x) { return __builtin_floor(x); }
BLADE_INLINE float ceil(float x) { return __builtin_ceilf(x); }
BLADE_INLINE double ceil(double x) { return __builtin_ceil(x); }
BLADE_INLINE float trunc(float x) { return __builtin_truncf(x); }
BLADE_INLINE double trunc(double x) { return __builtin_trunc(x); }
// To nearest, ties to even.
BLADE_INLINE float rint(float x) { return __builtin_rintf(x); }
BLADE_INLINE double rint(double x) { return __builtin_rint(x); }

template <typename T>
struct Limits;
template <>
struct Limits<float> {
  static constexpr float kInf = __builtin_inff();
  static constexpr float kNan = __builtin_nanf("");
};
template <>
struct Limits<double> {
  static constexpr double kInf = __builtin_inf();
  static constexpr double kNan = __builtin_nan("");
};

// Horner's rule, coefficients from the constant term up.
template <typename T>
BLADE_INLINE T poly(T, T c0) {
  return c0;
}
template <typename T, typename... Rest>
BLADE_INLINE T poly(T x, T c0, Rest... rest) {
  return fma(poly(x, rest...), x, c0);
}

// 2^k for k in the exponents of normal numbers.
BLADE_INLINE float pow2(int32_t k) { return from_bits(static_cast<uint32_t>(k + 127) << 23); }
BLADE_INLINE double pow2(int64_t k) { return from_bits(static_cast<uint64_t>(k + 1023) << 52); }

// A number rounded to the nearest integer, both as a floating point and as an integer value. Adding 1.5 * 2^(digits-1)
// leaves the integer in the low bits; unlike a conversion, that is defined for every x (NaN gives some integer).
struct Rounded32 {
  float value;
  int32_t integer;
};
struct Rounded64 {
  double value;
  int64_t integer;
};
BLADE_INLINE Rounded32 round_scaled(float x, float scale) {
  constexpr float kMagic = 0x1.8p23f;
  float shifted = fma(x, scale, kMagic);
  return {shifted - kMagic, static_cast<int32_t>(bits(shifted) - bits(kMagic))};
}
BLADE_INLINE Rounded64 round_scaled(double x, double scale) {
  constexpr double kMagic = 0x1.8p52;
  double shifted = fma(x, scale, kMagic);
  return {shifted - kMagic, static_cast<int64_t>(bits(shifted) - bits(kMagic))};
}

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_BITS_H_
