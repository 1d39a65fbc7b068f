// Activation functions made of exp, log, tanh and erf.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_ACTIVATION_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_ACTIVATION_H_

#include "math_bits.h"
#include "math_erf.h"
#include "math_exp.h"
#include "math_log.h"

namespace blade {
namespace math {

// x / 2 * (1 + erf(x / sqrt 2)).
template <typename T>
BLADE_INLINE T gelu_erf(T x) {
  return T(0.5) * x * (T(1) + erf(x * T(0x1.6a09e667f3bcdp-1)));
}

template <typename T>
BLADE_INLINE T gelu_tanh(T x) {
  T inner = T(0x1.9884533d43651p-1) * fma(T(0.044715) * x * x, x, x);
  return T(0.5) * x * (T(1) + tanh(inner));
}

template <typename T>
BLADE_INLINE T swish(T x) {
  return x * sigmoid(x);
}

// NaN goes through both.
template <typename T>
BLADE_INLINE T relu6(T x) {
  T y = x < T(0) ? T(0) : x;
  return y > T(6) ? T(6) : y;
}

template <typename T>
BLADE_INLINE T hard_sigmoid(T x) {
  return relu6(x + T(3)) * T(0x1.5555555555555p-3);
}
template <typename T>
BLADE_INLINE T hard_swish(T x) {
  return x * hard_sigmoid(x);
}

// log(1 + e^x).
template <typename T>
BLADE_INLINE T softplus(T x) {
  return (x > T(0) ? x : T(0)) + log1p(exp(-abs(x)));
}

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_ACTIVATION_H_
