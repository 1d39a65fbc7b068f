// fmod, and the remainder of floored division.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_MOD_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_MOD_H_

#include "math_bits.h"

namespace blade {
namespace math {

// x mod y for finite x >= y > 0 by long division of the significands, some bits at a time.
static __attribute__((noinline, unused)) double fmod_positive(double x, double y) {
  constexpr uint64_t kImplicit = 0x0010000000000000u;
  uint64_t ix = bits(x);
  uint64_t iy = bits(y);
  int64_t ex = static_cast<int64_t>(ix >> 52);
  int64_t ey = static_cast<int64_t>(iy >> 52);
  // Subnormals have the exponent of the smallest normal numbers, without the implicit bit.
  uint64_t mx = ex != 0 ? (ix & (kImplicit - 1u)) | kImplicit : ix;
  uint64_t my = ey != 0 ? (iy & (kImplicit - 1u)) | kImplicit : iy;
  ex = ex != 0 ? ex : 1;
  ey = ey != 0 ? ey : 1;
  mx %= my;
  while (ex > ey && mx != 0u) {
    int64_t step = ex - ey < 11 ? ex - ey : 11;
    mx = (mx << step) % my;
    ex -= step;
  }
  if (mx == 0u) return 0.0;
  // mx * 2^(ey - 1075), normalized.
  int64_t shift = __builtin_clzll(mx) - 11;
  if (shift < ey) return from_bits((static_cast<uint64_t>(ey - shift) << 52) | ((mx << shift) & (kImplicit - 1u)));
  return from_bits(mx << (ey - 1));
}

// C's fmod: exact, with the sign of x.
BLADE_INLINE double fmod(double x, double y) {
  double ax = abs(x);
  double ay = abs(y);
  if (!(ax < Limits<double>::kInf) || !(ay > 0.0)) return Limits<double>::kNan;
  if (ax < ay) return x;
  return copysign(fmod_positive(ax, ay), x);
}
BLADE_INLINE float fmod(float x, float y) {
  return static_cast<float>(fmod(static_cast<double>(x), static_cast<double>(y)));
}

// The remainder with the sign of y.
template <typename T>
BLADE_INLINE T floor_mod(T x, T y) {
  T r = fmod(x, y);
  return r != T(0) && ((r < T(0)) != (y < T(0))) ? r + y : r;
}

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_MOD_H_
