// exp, expm1 and the functions made of them. Polynomials are minimax fits of the named function on the reduced range.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_EXP_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_EXP_H_

#include "math_bits.h"

namespace blade {
namespace math {

// x - k * ln 2 for k near x / ln 2.
BLADE_INLINE float minus_k_ln2(float x, float k) {
  return fma(k, -0x1.7f7d1cp-20f, fma(k, -0x1.62e4p-1f, x));
}
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

// e^x for the logistic functions: -|x| as argument keeps every intermediate in range.
BLADE_INLINE float sigmoid(float x) {
  float t = exp(-abs(x));
  return (x >= 0.0f ? 1.0f : t) / (1.0f + t);
}

BLADE_INLINE float tanh(float x) {
  float a = abs(x);
  a = a > 10.0f ? 10.0f : a;
  float t = -2.0f * a;
  Rounded32 k = round_scaled(t, 0x1.715476p+0f);
  float p = expm1_reduced(minus_k_ln2(t, k.value));
  float scale = pow2(k.integer);
  float em1 = fma(scale, p, scale - 1.0f);
  return copysign(-em1 / (em1 + 2.0f), x);
}

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_EXP_H_
