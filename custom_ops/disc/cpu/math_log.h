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

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_LOG_H_
