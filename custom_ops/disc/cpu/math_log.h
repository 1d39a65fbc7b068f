// log, log1p.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_LOG_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_LOG_H_

#include "math_bits.h"

namespace blade {
namespace math {

// The values of log where the general path does not hold: zero, negative numbers, infinity, NaN.
template <typename T>
BLADE_INLINE T log_special(T x, T y) {
  y = x < Limits<T>::kInf ? y : x;
  y = x == T(0) ? -Limits<T>::kInf : y;
  return x < T(0) ? Limits<T>::kNan : y;
}

// log(2^e * (1 + f)) + correction, for 1 + f in [sqrt(1/2), sqrt(2)).
BLADE_INLINE float log_reduced(float f, float e, float correction) {
  float z = f * f;
  float p = poly(f, 0x1.555546p-2f, -0x1.fffff2p-3f, 0x1.99a54ap-3f, -0x1.556206p-3f, 0x1.233162p-3f, -0x1.fb5fe6p-4f,
                 0x1.e68556p-4f, -0x1.e25544p-4f, 0x1.1a13cep-4f);
  float y = fma(z * f, p, fma(e, -0x1.bd0106p-13f, correction));
  y = fma(-0.5f, z, y);
  return fma(e, 0x1.63p-1f, f + y);
}

BLADE_INLINE float log(float x) {
  bool tiny = x < 0x1p-126f;
  float scaled = tiny ? x * 0x1p23f : x;
  int32_t ix = static_cast<int32_t>(bits(scaled));
  int32_t e = (ix - 0x3f3504f3) >> 23;
  float f = from_bits(static_cast<uint32_t>(ix) - (static_cast<uint32_t>(e) << 23)) - 1.0f;
  float ef = static_cast<float>(e) - (tiny ? 23.0f : 0.0f);
  return log_special(x, log_reduced(f, ef, 0.0f));
}

// 1 + x rounded, and what that lost. Without a choice between two forms: some compilers make it a branch, which no loop
// of vectors has.
template <typename T>
struct OnePlus {
  T sum;
  T lost;
};
template <typename T>
BLADE_INLINE OnePlus<T> one_plus(T x) {
  T sum = T(1) + x;
  T part = sum - T(1);
  return {sum, (T(1) - (sum - part)) + (x - part)};
}

BLADE_INLINE float log1p(float x) {
  OnePlus<float> u = one_plus(x);
  int32_t ix = static_cast<int32_t>(bits(u.sum));
  int32_t e = (ix - 0x3f3504f3) >> 23;
  float f = from_bits(static_cast<uint32_t>(ix) - (static_cast<uint32_t>(e) << 23)) - 1.0f;
  float y = log_reduced(f, static_cast<float>(e), u.lost / u.sum);
  return copysign(log_special(u.sum, y), x);  // of -0, too
}

// ---- float64 ----

// A positive normal number as 2^e * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
struct Split64 {
  double e;
  double f;
};
BLADE_INLINE Split64 split_exponent(double x) {
  constexpr uint64_t kOffset = 0x3ff0000000000000u - 0x3fe6a09e667f3bcdu;
  uint64_t ix = bits(x);
  uint64_t biased = (ix + kOffset) >> 52;  // e + 1023
  double f = from_bits(ix - ((biased - 1023u) << 52)) - 1.0;
  // An integer below 2^52 in the low bits of 2^52 converts it without an instruction that AVX2 lacks.
  return {from_bits(biased | 0x4330000000000000u) - (0x1p52 + 1023.0), f};
}

// log(2^e * (1 + f)) + correction.
BLADE_INLINE double log_reduced(double f, double e, double correction) {
  double s = f / (2.0 + f);
  double z = s * s;
  double half = 0.5 * f * f;
  double r = z * poly(z, 0x1.5555555555555p-1, 0x1.9999999999d12p-2, 0x1.24924924395cdp-2, 0x1.c71c724b9de51p-3,
                      0x1.745ce1b3d7fb1p-3, 0x1.3b2028a106d64p-3, 0x1.0f66dc6af73d7p-3, 0x1.0f11d7a5624afp-3);
  double low = fma(s, half + r, fma(e, 0x1.473de6af278edp-34, correction));
  return fma(e, 0x1.62e42fefp-1, f - (half - low));
}

BLADE_INLINE double log(double x) {
  bool tiny = x < 0x1p-1022;
  Split64 v = split_exponent(tiny ? x * 0x1p54 : x);
  return log_special(x, log_reduced(v.f, v.e - (tiny ? 54.0 : 0.0), 0.0));
}

BLADE_INLINE double log1p(double x) {
  OnePlus<double> u = one_plus(x);
  Split64 v = split_exponent(u.sum);
  double y = log_reduced(v.f, v.e, u.lost / u.sum);
  return copysign(log_special(u.sum, y), x);  // of -0, too
}

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_LOG_H_
