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

// ---- float64 ----

// erf(a) for 0 <= a <= 1.
BLADE_INLINE double erf_small(double a) {
  double q = poly(a * a, 0x1.06eba8214db69p-3, -0x1.812746b037a1ap-2, 0x1.ce2f21a044d48p-4, -0x1.b82ce31315fe1p-6,
                  0x1.565bcd2216f97p-8, -0x1.c02db745a8a7p-11, 0x1.f9a37fd72d71dp-14, -0x1.f4d895b0f6c41p-17,
                  0x1.ba3115ab076d4p-20, -0x1.61b80da5ec8adp-23, 0x1.09477f9500ee4p-26, -0x1.888ce77f778b6p-30,
                  0x1.d6bb458fdeacdp-34);
  return fma(a, q, a);
}

// erfc(a) for a >= 0.75, as exp(-a^2) / (1 + 2a) times a polynomial of (a - 4) / (a + 4).
BLADE_INLINE double erfc_large(double a) {
  a = a > 28.0 ? 28.0 : a;
  double t = (a - 4.0) / (a + 4.0);
  double p = poly(t, 0x1.3ba5916e9fd7fp+0, -0x1.1df1ad154a289p-3, 0x1.f7f5df66fdc42p-7, 0x1.16ecefcfa4d0ep-4,
                  -0x1.9ddb23c3eb9c9p-4, 0x1.7fee004e241e8p-4, -0x1.0fb06dfe032aep-4, 0x1.3079edf3b4b08p-5,
                  -0x1.096238940ea9cp-6, 0x1.49c6738158fcdp-8, -0x1.8d4a8b679ff8p-11, -0x1.a1dffaa89deap-13,
                  0x1.3bdf30c6e615p-13, -0x1.993ca0eefd385p-16, -0x1.7855f1253445dp-17, 0x1.7dee56eaf3f37p-18,
                  0x1.305026defe4d8p-22, -0x1.aa4796a1ee18fp-21, 0x1.6449af93c89b2p-24, 0x1.54bcf9ba3cad4p-24,
                  -0x1.44c4cb8746a7ep-26);
  double square = a * a;
  double lost = fma(a, a, -square);
  double e = exp(-square);
  return fma(-e, lost, e) * (p / fma(2.0, a, 1.0));
}

BLADE_INLINE double erf(double x) {
  double a = abs(x);
  return copysign(a < 1.0 ? erf_small(a) : 1.0 - erfc_large(a), x);
}

BLADE_INLINE double erfc(double x) {
  double a = abs(x);
  double near = erf_small(a);
  double far = erfc_large(a);
  double y = x < 0.0 ? 2.0 - far : far;
  return a < 0.75 ? 1.0 - copysign(near, x) : y;
}
BLADE_INLINE float erfc(float x) { return static_cast<float>(erfc(static_cast<double>(x))); }

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_ERF_H_
