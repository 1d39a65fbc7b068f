// asin, acos, atan, atan2. The float32 forms round the float64 ones, which keeps them within an ulp and vectorizes too.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_ATRIG_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_ATRIG_H_

#include "math_bits.h"

namespace blade {
namespace math {

// atan(num / den) in [0, pi / 2], as hi + lo, for num, den >= 0 that are not both zero or both infinite.
struct Angle {
  double hi;
  double lo;
};
BLADE_INLINE Angle atan_quotient(double num, double den) {
  bool steep = num > den;
  double low = steep ? den : num;
  double high = steep ? num : den;
  // atan(t) = pi / 4 + atan((t - 1) / (t + 1)) makes |t| <= tan(pi / 8).
  bool middle = low > 0x1.a827999fcef32p-2 * high;
  double t = (middle ? low - high : low) / (middle ? low + high : high);
  double z = t * t;
  double p = poly(z, -0x1.5555555555554p-2, 0x1.99999999995b3p-3, -0x1.2492492471a01p-3, 0x1.c71c71b5b8597p-4,
                  -0x1.745d14885fe5fp-4, 0x1.3b136a4ec244fp-4, -0x1.110c3f48b6451p-4, 0x1.e16e67e2bc6d3p-5,
                  -0x1.ab6833737fd8cp-5, 0x1.709cea5926822p-5, -0x1.1188fd3648b63p-5, 0x1.ef4ddaba372b7p-7);
  double tail = z * t * p;
  // base + (t + tail), mirrored about pi / 4 where steep.
  double base = middle ? 0x1.921fb54442d18p-1 : 0.0;
  double base_low = middle ? 0x1.1a62633145c07p-55 : 0.0;
  double sign = steep ? -1.0 : 1.0;
  base = steep ? 0x1.921fb54442d18p+0 - base : base;
  base_low = steep ? 0x1.1a62633145c07p-54 - base_low : base_low;
  double first = sign * t;
  double hi = base + first;
  return {hi, fma(sign, tail, base_low) + (first - (hi - base))};
}

BLADE_INLINE double atan(double x) {
  double a = abs(x);
  // Above 2^60 the result is pi / 2 already; this keeps infinity out of the quotient.
  Angle v = atan_quotient(a > 0x1p60 ? 0x1p60 : a, 1.0);
  return copysign(v.hi + v.lo, x);
}

BLADE_INLINE double atan2(double y, double x) {
  double ay = abs(y);
  double ax = abs(x);
  double top = ay > ax ? ay : ax;
  // Powers of two bring both to where sums neither overflow nor lose bits.
  double scale = top > 0x1p1000 ? 0x1p-100 : (top < 0x1p-900 ? 0x1p120 : 1.0);
  bool both_inf = ay == Limits<double>::kInf && ax == Limits<double>::kInf;
  double num = both_inf ? 1.0 : ay * scale;
  double den = both_inf || top == 0.0 ? 1.0 : ax * scale;
  Angle v = atan_quotient(num, den);
  // Sums of infinities inside must not reach the result: one infinite argument alone has an exact angle.
  bool y_inf = num == Limits<double>::kInf;
  v.hi = y_inf ? 0x1.921fb54442d18p+0 : (den == Limits<double>::kInf ? 0.0 : v.hi);
  v.lo = y_inf || den == Limits<double>::kInf ? 0.0 : v.lo;
  double flipped = 0x1.921fb54442d18p+1 - (v.hi - (0x1.1a62633145c07p-53 - v.lo));
  bool negative = (bits(x) >> 63) != 0u;
  double angle = copysign(negative ? flipped : v.hi + v.lo, y);
  return x != x || y != y ? Limits<double>::kNan : angle;
}

// asin(s) for s = sqrt(z) <= 1/2.
BLADE_INLINE double asin_reduced(double s, double z) {
  double p =
      poly(z, 0x1.5555555555578p-3, 0x1.333333332df4ap-4, 0x1.6db6db7227caap-5, 0x1.f1c71a8d36c76p-6,
           0x1.6e8bdfb50b5cap-6, 0x1.1c49e1af3184bp-6, 0x1.ca20e8e3013fbp-7, 0x1.757a8aa69fe29p-7, 0x1.6179b68c82153p-7,
           0x1.e25ed1a12690bp-9, 0x1.64b29e0f0bef7p-6, -0x1.5985dab1dea4p-6, 0x1.0bc12654ae3aap-5);
  return fma(s * z, p, s);
}

BLADE_INLINE double asin(double x) {
  double a = abs(x);
  bool large = a > 0.5;
  double z = large ? 0.5 * (1.0 - a) : a * a;
  double p = asin_reduced(large ? sqrt(z) : a, z);
  double y = 0x1.921fb54442d18p+0 - (2.0 * p - 0x1.1a62633145c07p-54);
  return copysign(large ? y : p, x);
}

BLADE_INLINE double acos(double x) {
  double a = abs(x);
  bool large = a > 0.5;
  double z = large ? 0.5 * (1.0 - a) : a * a;
  double p = asin_reduced(large ? sqrt(z) : a, z);
  double middle = 0x1.921fb54442d18p+0 - (copysign(p, x) - 0x1.1a62633145c07p-54);
  double outer = x < 0.0 ? 0x1.921fb54442d18p+1 - (2.0 * p - 0x1.1a62633145c07p-53) : 2.0 * p;
  return large ? outer : middle;
}

BLADE_INLINE float atan(float x) { return static_cast<float>(atan(static_cast<double>(x))); }
BLADE_INLINE float asin(float x) { return static_cast<float>(asin(static_cast<double>(x))); }
BLADE_INLINE float acos(float x) { return static_cast<float>(acos(static_cast<double>(x))); }
BLADE_INLINE float atan2(float y, float x) {
  return static_cast<float>(atan2(static_cast<double>(y), static_cast<double>(x)));
}

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_ATRIG_H_
