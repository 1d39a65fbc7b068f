// sin, cos, tan.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_TRIG_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_TRIG_H_

#include "math_bits.h"
#include "math_trig_table.h"

namespace blade {
namespace math {

// x as quadrant * pi / 2 + (hi + lo), |hi| <= pi / 4 up to rounding. Only the quadrant's two low bits count.
struct Quadrant {
  uint64_t quadrant;
  double hi;
  double lo;
};

// Exact to double precision for every float: the row of 2 / pi for x's exponent makes the product small.
BLADE_INLINE Quadrant reduce(float x) {
  int32_t excess = static_cast<int32_t>((bits(x) >> 23) & 0xffu) - 150;  // x is an integer times 2^excess
  int32_t row = excess < 0 ? 0 : excess;
  double v = static_cast<double>(x * pow2(-row));
  // An index as wide as the elements makes the compiler use gather instructions.
  uint64_t index = static_cast<uint64_t>(static_cast<uint32_t>(row));
  double high = v * kTwoOverPiHigh[index];
  double middle = v * kTwoOverPiMiddle[index];
  double low = v * kTwoOverPiLow[index];
  double shifted = (high + middle) + 0x1.8p52;
  double k = shifted - 0x1.8p52;
  double fraction = ((high - k) + middle) + low;
  return {bits(shifted), fraction * 0x1.921fb54442d18p+0, 0.0};
}

struct SinCos {
  double sin;
  double cos;
};

// For results that are rounded to float: errors of 2^-37.
BLADE_INLINE SinCos sincos_short(Quadrant q) {
  double r = q.hi;
  double z = r * r;
  double s = poly(z, -0x1.5555554c5f18dp-3, 0x1.1111085420c59p-7, -0x1.a00f6828d51c9p-13, 0x1.6ccb8ad44b38cp-19);
  double c = poly(z, 0x1.5555554e88816p-5, -0x1.6c16b7d692d87p-10, 0x1.a010a96602a66p-16, -0x1.2413d455f5909p-22);
  return {fma(z * r, s, r), fma(z * z, c, fma(z, -0.5, 1.0))};
}

BLADE_INLINE SinCos sincos_full(Quadrant q) {
  double r = q.hi;
  double z = r * r;
  double s = poly(z, 0x1.111111111106bp-7, -0x1.a01a019ffed5p-13, 0x1.71de3a3465567p-19, -0x1.ae642d54dbac5p-26,
                  0x1.610a61b46cd0bp-33, -0x1.a04c969494846p-41);
  double c = z * poly(z, 0x1.5555555555555p-5, -0x1.6c16c16c16b2dp-10, 0x1.a01a019ffc051p-16, -0x1.27e4fb5928cb6p-22,
                      0x1.1eed6e3d03ff2p-29, -0x1.9372bf6e5b468p-37, 0x1.9cec60e7c9628p-45);
  double cube = z * r;
  double half = 0.5 * z;
  double w = 1.0 - half;
  double sin = r - ((z * (0.5 * q.lo - cube * s) - q.lo) - cube * -0x1.5555555555555p-3);
  double cos = w + (((1.0 - w) - half) + (z * c - r * q.lo));
  return {sin, cos};
}

BLADE_INLINE double flip(double x, uint64_t negative) { return from_bits(bits(x) ^ (negative << 63)); }

// sin of an angle whose quadrant is q; cos is that with q + 1.
BLADE_INLINE double by_quadrant(SinCos v, uint64_t q) { return flip((q & 1u) ? v.cos : v.sin, (q >> 1) & 1u); }
BLADE_INLINE double tan_by_quadrant(SinCos v, uint64_t q) {
  bool odd = (q & 1u) != 0;
  return flip((odd ? v.cos : v.sin) / (odd ? v.sin : v.cos), q & 1u);
}

BLADE_INLINE float sin(float x) {
  Quadrant q = reduce(x);
  float y = static_cast<float>(by_quadrant(sincos_short(q), q.quadrant));
  return abs(x) < 0x1p-13f ? x : y;
}
BLADE_INLINE float cos(float x) {
  Quadrant q = reduce(x);
  return static_cast<float>(by_quadrant(sincos_short(q), q.quadrant + 1u));
}
BLADE_INLINE float tan(float x) {
  Quadrant q = reduce(x);
  float y = static_cast<float>(tan_by_quadrant(sincos_short(q), q.quadrant));
  return abs(x) < 0x1p-13f ? x : y;
}

// ---- float64 ----

// Cody and Waite's reduction with pi / 2 in three parts, for |x| < 2^27: the first difference is exact.
BLADE_INLINE Quadrant reduce_small(double x) {
  double shifted = fma(x, 0x1.45f306dc9c883p-1, 0x1.8p52);
  double k = shifted - 0x1.8p52;
  double r = fma(-k, 0x1.921fb54442d18p+0, x);
  double p = k * 0x1.1a62633145c07p-54;
  double lost = fma(k, 0x1.1a62633145c07p-54, -p);
  double hi = r - p;
  double lo = fma(k, 0x1.f1976b7ed8fbcp-110, ((r - hi) - p) - lost);
  return {bits(shifted), hi, lo};
}

// Word i of 2 / pi's digits from binary digit `offset` on, where 64 zeros precede the digits.
BLADE_INLINE uint64_t two_over_pi_word(uint64_t offset, uint64_t i) {
  uint64_t word = offset / 64u + i;
  uint64_t shift = offset % 64u;
  uint64_t first = word == 0u ? 0u : kTwoOverPiDigits[word - 1u];
  uint64_t second = kTwoOverPiDigits[word];
  return shift == 0u ? first : (first << shift) | (second >> (64u - shift));
}

// Payne and Hanek's reduction with 192 digits, for finite |x| >= 2^27.
static __attribute__((noinline, unused)) Quadrant reduce_large(double x) {
  using Wide = unsigned __int128;
  uint64_t ix = bits(x);
  uint64_t significand = (ix & 0x000fffffffffffffu) | 0x0010000000000000u;
  // x = significand * 2^e. Digits before e - 2 make multiples of 4 quadrants.
  uint64_t offset = ((ix >> 52) & 0x7ffu) - 1075u - 2u + 64u;
  Wide low = static_cast<Wide>(significand) * two_over_pi_word(offset, 2);
  Wide middle = static_cast<Wide>(significand) * two_over_pi_word(offset, 1) + static_cast<uint64_t>(low >> 64);
  uint64_t w2 = static_cast<uint64_t>(low);
  uint64_t w1 = static_cast<uint64_t>(middle);
  uint64_t w0 = significand * two_over_pi_word(offset, 0) + static_cast<uint64_t>(middle >> 64);
  uint64_t quadrant = w0 >> 62;
  // The fraction of a quadrant as 192 bits, then to the nearest quadrant.
  w0 = (w0 << 2) | (w1 >> 62);
  w1 = (w1 << 2) | (w2 >> 62);
  w2 <<= 2;
  uint64_t negative = w0 >> 63;
  quadrant += negative;
  if (negative) {
    w2 = ~w2 + 1u;
    w1 = ~w1 + (w2 == 0u ? 1u : 0u);
    w0 = ~w0 + (w1 == 0u && w2 == 0u ? 1u : 0u);
  }
  // |x| is no multiple of pi / 2 to 192 digits, so a set bit is near.
  int zeros = w0 != 0u ? __builtin_clzll(w0) : 63;
  if (zeros != 0) {
    w0 = (w0 << zeros) | (w1 >> (64 - zeros));
    w1 = (w1 << zeros) | (w2 >> (64 - zeros));
  }
  double scale = pow2(static_cast<int64_t>(-zeros));
  double f0 = static_cast<double>(w0 & ~static_cast<uint64_t>(0x7ff)) * 0x1p-64 * scale;
  double f1 = static_cast<double>(((w0 & 0x7ffu) << 52) | (w1 >> 12)) * 0x1p-116 * scale;
  double hi = f0 * 0x1.921fb54442d18p+0;
  double lo = fma(f0, 0x1.921fb54442d18p+0, -hi) + f0 * 0x1.1a62633145c07p-54 + f1 * 0x1.921fb54442d18p+0;
  uint64_t flip_sign = negative ^ (ix >> 63);
  return {ix >> 63 ? 0u - quadrant : quadrant, flip(hi, flip_sign), flip(lo, flip_sign)};
}

// Has a branch: loops over float64 sin, cos and tan stay scalar.
BLADE_INLINE Quadrant reduce(double x) {
  if (__builtin_expect(abs(x) < 0x1p27, 1)) return reduce_small(x);
  if (abs(x) < Limits<double>::kInf) return reduce_large(x);
  return {0u, Limits<double>::kNan, Limits<double>::kNan};
}

BLADE_INLINE double sin(double x) {
  Quadrant q = reduce(x);
  return abs(x) < 0x1p-27 ? x : by_quadrant(sincos_full(q), q.quadrant);
}
BLADE_INLINE double cos(double x) {
  Quadrant q = reduce(x);
  return by_quadrant(sincos_full(q), q.quadrant + 1u);
}
BLADE_INLINE double tan(double x) {
  Quadrant q = reduce(x);
  return abs(x) < 0x1p-27 ? x : tan_by_quadrant(sincos_full(q), q.quadrant);
}

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_TRIG_H_
