// erf, erfc.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_ERF_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_ERF_H_

#include "math_bits.h"
#include "math_exp.h"

namespace blade {
namespace math {

BLADE_INLINE float erf(float x) {
  float a = abs(x);
  float z = a * a;
  // erf(a) / a - 1 below 0.9.
  float q = poly(z, 0x1.06eba6p-3f, -0x1.8126f4p-2f, 0x1.ce1d3cp-4f, -0x1.b6b806p-6f, 0x1.485414p-8f, -0x1.3ed094p-11f);
  float small = fma(a, q, a);
  // log(erfc(a)) above; from 4 on the result rounds to 1.
  float c = a > 4.0f ? 4.0f : a;
  float p = poly(c, 0x1.2f1124p-13f, 0x1.20bd4ep+0f, 0x1.460d76p-1f, 0x1.ab01eap-4f, -0x1.6eb08ap-6f, 0x1.93f5cap-9f,
                 -0x1.a335bap-13f);
  float large = 1.0f - exp_normal(-p);
  return copysign(a < 0.9f ? small : large, x);
}

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_ERF_H_
