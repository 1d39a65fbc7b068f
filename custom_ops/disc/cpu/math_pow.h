// pow.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_POW_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_POW_H_

#include "math_bits.h"
#include "math_exp.h"
#include "math_log.h"

namespace blade {
namespace math {

// Puts the sign and C's special cases on magnitude = |x|^y, which need only hold for finite nonzero x and finite y.
BLADE_INLINE double pow_special(double x, double y, double magnitude) {
  double a = abs(x);
  bool integer = trunc(y) == y;
  bool odd = integer & (trunc(y * 0.5) != y * 0.5);
  double r = magnitude;
  r = a == 0.0 ? (y < 0.0 ? Limits<double>::kInf : 0.0) : r;
  r = a == Limits<double>::kInf ? (y < 0.0 ? 0.0 : Limits<double>::kInf) : r;
  r = abs(y) == Limits<double>::kInf ? ((a > 1.0) == (y > 0.0) ? Limits<double>::kInf : 0.0) : r;
  r = a == 1.0 ? 1.0 : r;
  r = (x < 0.0) & !integer & (a != Limits<double>::kInf) ? Limits<double>::kNan : r;
  r = ((bits(x) >> 63) != 0u) & odd ? -r : r;
  r = (x != x) | (y != y) ? Limits<double>::kNan : r;
  return (y == 0.0) | (x == 1.0) ? 1.0 : r;
}

// log(x) for x > 0 as a sum of two numbers, with a relative error near 2^-65.
struct LogPair {
  double hi;
  double lo;
};
BLADE_INLINE LogPair log_pair(double x) {
  bool tiny = x < 0x1p-1022;
  Split64 v = split_exponent(tiny ? x * 0x1p54 : x);
  double e = v.e - (tiny ? 54.0 : 0.0);
  double f = v.f;
  // s = f / (2 + f) as a pair.
  double d = 2.0 + f;
  double d_lo = f - (d - 2.0);
  double s = f / d;
  double s_lo = (fma(-s, d, f) - s * d_lo) / d;
  double z = s * s;
  double z_lo = fma(s, s, -z) + 2.0 * s * s_lo;
  // log(1 + f) = 2 (s + s z c), c = 1/3 + z (1/5 + ...).
  double u = z * poly(z, 0x1.9999999999996p-3, 0x1.2492492492f51p-3, 0x1.c71c71c5966dep-4, 0x1.745d18297a332p-4,
                      0x1.3b1364baa712bp-4, 0x1.11207217cd7e6p-4, 0x1.de3ce00c6a292p-5, 0x1.eacb36969ae05p-5);
  double c = 0x1.5555555555555p-2 + u;
  double c_lo = (u - (c - 0x1.5555555555555p-2)) + 0x1.5555555555555p-56;
  double w = z * c;
  double w_lo = fma(z, c, -w) + (z * c_lo + z_lo * c);
  double t = s * w;
  double t_lo = fma(s, w, -t) + (s * w_lo + s_lo * w);
  double sum = s + t;
  double sum_lo = (t - (sum - s)) + (s_lo + t_lo);
  // e ln 2 has a larger magnitude than 2 sum unless e is zero.
  double base = e * 0x1.62e42fefp-1;
  double hi = base + 2.0 * sum;
  double lost = base == 0.0 ? 0.0 : 2.0 * sum - (hi - base);
  double lo = lost + fma(e, 0x1.473de6af278edp-34, 2.0 * sum_lo);
  double head = hi + lo;
  return {head, lo - (head - hi)};
}

BLADE_INLINE double pow(double x, double y) {
  LogPair l = log_pair(abs(x));
  double p = y * l.hi;
  double p_lo = fma(y, l.lo, fma(y, l.hi, -p));
  double e = exp(p);
  // Outside the range of exp the low part is noise, or NaN.
  return pow_special(x, y, (abs(p) < 750.0) & (e < Limits<double>::kInf) ? fma(e, p_lo, e) : e);
}

// A double's log and exp leave errors far below half an ulp of float.
BLADE_INLINE float pow(float x, float y) {
  double dx = static_cast<double>(x);
  double dy = static_cast<double>(y);
  return static_cast<float>(pow_special(dx, dy, exp(dy * log(abs(dx)))));
}

// x^y for y >= 0 by squaring, modulo 2^bits; y < 0 gives 0 for the caller to refuse.
template <typename T>
BLADE_INLINE T int_pow(T x, T y) {
  uint64_t base = static_cast<uint64_t>(x);
  uint64_t result = 1u;
  for (uint64_t n = y < T(0) ? 0u : static_cast<uint64_t>(y); n != 0u; n >>= 1) {
    result = (n & 1u) ? result * base : result;
    base *= base;
  }
  return y < T(0) ? T(0) : static_cast<T>(result);
}

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_POW_H_
