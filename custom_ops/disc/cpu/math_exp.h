// exp, expm1 and the functions made of them. Polynomials are minimax fits of the named function on the reduced range.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_EXP_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_EXP_H_

#include "math_bits.h"

namespace blade {
namespace math {

// x - k * ln 2 for k near x / ln 2.
BLADE_INLINE float minus_k_ln2(float x, float k) { return fma(k, -0x1.7f7d1cp-20f, fma(k, -0x1.62e4p-1f, x)); }
BLADE_INLINE double minus_k_ln2(double x, double k) {
  return fma(k, -0x1.abc9e3b39803fp-56, fma(k, -0x1.62e42fefa39efp-1, x));
}

// e^r - 1 for |r| <= ln(2) / 2, with small relative error.
BLADE_INLINE float expm1_reduced(float r) {
  float p = poly(r, 0x1p-1f, 0x1.555556p-3f, 0x1.5554f2p-5f, 0x1.110fe2p-7f, 0x1.6d418ap-10f, 0x1.a28ed6p-13f);
  return fma(r * r, p, r);
}

// 2^k * x where 2^k itself may be out of range; rounds once.
BLADE_INLINE float scale2(float x, int32_t k) {
  int32_t half = k >> 1;
  return x * pow2(half) * pow2(k - half);
}
BLADE_INLINE double scale2(double x, int64_t k) {
  // 2^k has k within +-1100, so adding an even bias makes the shift of a nonnegative number do.
  int64_t half = static_cast<int64_t>(static_cast<uint64_t>(k + 2048) >> 1) - 1024;
  return x * pow2(half) * pow2(k - half);
}

BLADE_INLINE float exp(float x) {
  float c = x > 89.0f ? 89.0f : x;
  c = c < -104.0f ? -104.0f : c;
  Rounded32 k = round_scaled(c, 0x1.715476p+0f);
  float r = minus_k_ln2(c, k.value);
  float p = poly(r, 0x1.fffffcp-2f, 0x1.55548ep-3f, 0x1.55589ep-5f, 0x1.123c3cp-7f, 0x1.6a6454p-10f);
  return scale2(fma(r * r, p, r) + 1.0f, k.integer);
}

// exp for -87 < x <= 88, where no intermediate leaves the normal range.
BLADE_INLINE float exp_normal(float x) {
  Rounded32 k = round_scaled(x, 0x1.715476p+0f);
  float r = minus_k_ln2(x, k.value);
  float p = poly(r, 0x1.fffffcp-2f, 0x1.55548ep-3f, 0x1.55589ep-5f, 0x1.123c3cp-7f, 0x1.6a6454p-10f);
  return (fma(r * r, p, r) + 1.0f) * pow2(k.integer);
}

BLADE_INLINE float expm1(float x) {
  float c = x > 89.0f ? 89.0f : x;
  c = c < -20.0f ? -20.0f : c;
  Rounded32 k = round_scaled(c, 0x1.715476p+0f);
  float p = expm1_reduced(minus_k_ln2(c, k.value));
  float half = pow2(k.integer - 1);  // half of 2^k, which may be out of range
  float y = fma(half, p, half - 0.5f) * 2.0f;
  return abs(x) < 0x1p-24f ? x : y;
}

BLADE_INLINE float sigmoid(float x) {
  // -|x| as argument keeps every intermediate in range.
  float t = exp(-abs(x));
  float n = x >= 0.0f ? 1.0f : t;
  float q = n / (1.0f + t);
  // One Newton step takes the rounding of the sum and of the quotient out; n - q is exact.
  float remainder = fma(-q, t, n - q);
  float inverse = x >= 0.0f ? q : 1.0f - q;
  return fma(remainder, inverse, q);
}

BLADE_INLINE float tanh(float x) {
  float a = abs(x);
  a = a > 10.0f ? 10.0f : a;
  float z = a * a;
  float p = poly(z, -0x1.55554cp-2f, 0x1.110d6cp-3f, -0x1.b93276p-5f, 0x1.59871p-6f, -0x1.9cb10ap-8f);
  float small = fma(z * a, p, a);
  float t = exp_normal(-2.0f * a);
  float large = 1.0f - (t + t) / (1.0f + t);
  return copysign(a < 0.55f ? small : large, x);
}

// ---- float64 ----

BLADE_INLINE double expm1_reduced(double r) {
  double p = poly(r, 0x1p-1, 0x1.5555555555559p-3, 0x1.5555555555558p-5, 0x1.111111110f641p-7, 0x1.6c16c16c14f5ep-10,
                  0x1.a01a01b01038ep-13, 0x1.a01a01add855cp-16, 0x1.71ddf7e674318p-19, 0x1.27e4cb10068d4p-22,
                  0x1.af5f7fe5111b5p-26, 0x1.1f8db7f1d6e8p-29);
  return fma(r * r, p, r);
}

// 2^shift * e^x; the shift keeps the result in range where e^x alone is not.
BLADE_INLINE double exp_shifted(double x, int64_t shift) {
  double c = x > 712.0 ? 712.0 : x;
  c = c < -747.0 ? -747.0 : c;
  Rounded64 k = round_scaled(c, 0x1.71547652b82fep+0);
  return scale2(expm1_reduced(minus_k_ln2(c, k.value)) + 1.0, k.integer + shift);
}
BLADE_INLINE double exp(double x) { return exp_shifted(x, 0); }

BLADE_INLINE double expm1(double x) {
  double c = x > 712.0 ? 712.0 : x;
  c = c < -40.0 ? -40.0 : c;
  Rounded64 k = round_scaled(c, 0x1.71547652b82fep+0);
  double p = expm1_reduced(minus_k_ln2(c, k.value));
  // From 2^1000 on the -1 no longer matters, and the split keeps 2^k in range.
  double quarter = pow2(k.integer - 4);
  double y = fma(quarter, p, quarter - 0.0625) * 16.0;
  return abs(x) < 0x1p-53 ? x : y;
}

BLADE_INLINE double sigmoid(double x) {
  double t = exp(-abs(x));
  double n = x >= 0.0 ? 1.0 : t;
  double q = n / (1.0 + t);
  double remainder = fma(-q, t, n - q);
  return fma(remainder, x >= 0.0 ? q : 1.0 - q, q);
}

BLADE_INLINE double tanh(double x) {
  double a = abs(x);
  a = a > 22.0 ? 22.0 : a;
  Rounded64 k = round_scaled(-2.0 * a, 0x1.71547652b82fep+0);
  double p = expm1_reduced(minus_k_ln2(-2.0 * a, k.value));
  double scale = pow2(k.integer);
  double em1 = fma(scale, p, scale - 1.0);
  // With e = exp(-2a): (1 - e) / (1 + e) keeps small results exact, 1 - 2e / (1 + e) those near one.
  bool small = a < 0.55;
  double q = (small ? -em1 : -2.0 * fma(scale, p, scale)) / (em1 + 2.0);
  double y = copysign(small ? q : 1.0 + q, x);
  return a < 0x1p-28 ? x : y;
}

BLADE_INLINE double cosh(double x) {
  double half = exp_shifted(abs(x), -1);
  return half + 0.25 / half;
}
BLADE_INLINE double sinh(double x) {
  double a = abs(x);
  double t = expm1(a > 22.0 ? 22.0 : a);
  // Both before the choice: inside it, they vectorize with masks, at a third of the speed.
  double small = 0.5 * (t + t / (t + 1.0));
  double large = exp_shifted(a, -1);
  double y = a > 22.0 ? large : small;
  return copysign(y, x);
}
BLADE_INLINE float cosh(float x) { return static_cast<float>(cosh(static_cast<double>(x))); }
BLADE_INLINE float sinh(float x) { return static_cast<float>(sinh(static_cast<double>(x))); }

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_EXP_H_
