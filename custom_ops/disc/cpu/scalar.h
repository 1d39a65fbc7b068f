// The scalar functions of the IR's `elementwise`: blade::fn_<name>, for every element type that the function takes.
//
// Element types are bool, the integers of <stdint.h>, float, double, f16_t and bf16_t. Half types compute in float and
// round once. fn_floor_div, fn_floor_mod, fn_truncate_div and fn_truncate_mod take a further argument, the call's error
// flag, which an integer division by zero sets.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_SCALAR_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_SCALAR_H_

#include "half.h"
#include "math.h"
#include "scalar_convert.h"
#include "scalar_integer.h"

namespace blade {

// Reads one element. A bool is read as a byte and compared, since compilers do not vectorize loads of bool.
template <typename T>
BLADE_INLINE T load(const T* p) {
  if constexpr (std::is_same_v<T, bool>) {
    return *reinterpret_cast<const uint8_t*>(p) != 0;
  } else {
    return *p;
  }
}

// Defines fn_<name> for the four float types by an expression of x (or a and b) of type F, float or double.
#define BLADE_FLOAT_UNARY(name, expression)                                                     \
  template <typename F>                                                                         \
  BLADE_INLINE F wide_##name(F x) {                                                             \
    return expression;                                                                          \
  }                                                                                             \
  BLADE_INLINE float fn_##name(float x) { return wide_##name(x); }                              \
  BLADE_INLINE double fn_##name(double x) { return wide_##name(x); }                            \
  BLADE_INLINE f16_t fn_##name(f16_t x) { return from_float<f16_t>(wide_##name(to_float(x))); } \
  BLADE_INLINE bf16_t fn_##name(bf16_t x) { return from_float<bf16_t>(wide_##name(to_float(x))); }

#define BLADE_FLOAT_BINARY(name, expression)                                                                          \
  template <typename F>                                                                                               \
  BLADE_INLINE F wide_##name(F a, F b) {                                                                              \
    return expression;                                                                                                \
  }                                                                                                                   \
  BLADE_INLINE float fn_##name(float a, float b) { return wide_##name(a, b); }                                        \
  BLADE_INLINE double fn_##name(double a, double b) { return wide_##name(a, b); }                                     \
  BLADE_INLINE f16_t fn_##name(f16_t a, f16_t b) { return from_float<f16_t>(wide_##name(to_float(a), to_float(b))); } \
  BLADE_INLINE bf16_t fn_##name(bf16_t a, bf16_t b) {                                                                 \
    return from_float<bf16_t>(wide_##name(to_float(a), to_float(b)));                                                 \
  }

// The same for functions of integers, by an expression of type T.
#define BLADE_INTEGER_UNARY(name, expression)                               \
  template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>> \
  BLADE_INLINE T fn_##name(T x) {                                           \
    return expression;                                                      \
  }
#define BLADE_INTEGER_BINARY(name, expression)                              \
  template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>> \
  BLADE_INLINE T fn_##name(T a, T b) {                                      \
    return expression;                                                      \
  }

// --- unary, float ---
BLADE_FLOAT_UNARY(acos, math::acos(x))
BLADE_FLOAT_UNARY(asin, math::asin(x))
BLADE_FLOAT_UNARY(atan, math::atan(x))
BLADE_FLOAT_UNARY(ceil, math::ceil(x))
BLADE_FLOAT_UNARY(cos, math::cos(x))
BLADE_FLOAT_UNARY(cosh, math::cosh(x))
BLADE_FLOAT_UNARY(elu, x < F(0) ? math::expm1(x) : x)
BLADE_FLOAT_UNARY(erf, math::erf(x))
BLADE_FLOAT_UNARY(erfc, math::erfc(x))
BLADE_FLOAT_UNARY(exp, math::exp(x))
BLADE_FLOAT_UNARY(exp_difference, math::exp(x))
BLADE_FLOAT_UNARY(expm1, math::expm1(x))
BLADE_FLOAT_UNARY(floor, math::floor(x))
BLADE_FLOAT_UNARY(gelu_erf, math::gelu_erf(x))
BLADE_FLOAT_UNARY(gelu_tanh, math::gelu_tanh(x))
BLADE_FLOAT_UNARY(hard_sigmoid, math::hard_sigmoid(x))
BLADE_FLOAT_UNARY(hard_swish, math::hard_swish(x))
BLADE_FLOAT_UNARY(log, math::log(x))
BLADE_FLOAT_UNARY(log1p, math::log1p(x))
BLADE_FLOAT_UNARY(reciprocal, F(1) / x)
BLADE_FLOAT_UNARY(rint, math::rint(x))
BLADE_FLOAT_UNARY(rsqrt, F(1) / math::sqrt(x))
BLADE_FLOAT_UNARY(selu, F(1.0507009873554805) * (x < F(0) ? F(1.6732632423543772) * math::expm1(x) : x))
BLADE_FLOAT_UNARY(sigmoid, math::sigmoid(x))
BLADE_FLOAT_UNARY(sin, math::sin(x))
BLADE_FLOAT_UNARY(sinh, math::sinh(x))
BLADE_FLOAT_UNARY(softplus, math::softplus(x))
BLADE_FLOAT_UNARY(softsign, x / (F(1) + math::abs(x)))
BLADE_FLOAT_UNARY(sqrt, math::sqrt(x))
BLADE_FLOAT_UNARY(swish, math::swish(x))
BLADE_FLOAT_UNARY(tan, math::tan(x))
BLADE_FLOAT_UNARY(tanh, math::tanh(x))

template <typename T>
BLADE_INLINE bool fn_is_nan(T x) {
  auto y = fn_convert<std::conditional_t<IsHalf<T>::value, float, T>>(x);
  return y != y;
}
template <typename T>
BLADE_INLINE bool fn_is_inf(T x) {
  using F = std::conditional_t<IsHalf<T>::value, float, T>;
  return math::abs(fn_convert<F>(x)) == math::Limits<F>::kInf;
}
template <typename T>
BLADE_INLINE bool fn_is_finite(T x) {
  using F = std::conditional_t<IsHalf<T>::value, float, T>;
  return math::abs(fn_convert<F>(x)) < math::Limits<F>::kInf;
}

// --- unary, numeric ---
BLADE_FLOAT_UNARY(abs, math::abs(x))
BLADE_FLOAT_UNARY(neg, -x)
BLADE_FLOAT_UNARY(relu, x < F(0) ? F(0) : x)
BLADE_FLOAT_UNARY(relu6, math::relu6(x))
BLADE_FLOAT_UNARY(sign, x > F(0) ? F(1) : (x < F(0) ? F(-1) : x))
BLADE_FLOAT_UNARY(square, x* x)
BLADE_INTEGER_UNARY(abs, x < T(0) ? wrapping_sub(T(0), x) : x)
BLADE_INTEGER_UNARY(neg, wrapping_sub(T(0), x))
BLADE_INTEGER_UNARY(relu, x < T(0) ? T(0) : x)
BLADE_INTEGER_UNARY(relu6, x < T(0) ? T(0) : (x > T(6) ? T(6) : x))
BLADE_INTEGER_UNARY(sign, static_cast<T>((x > T(0)) - (x < T(0))))
BLADE_INTEGER_UNARY(square, wrapping_mul(x, x))
BLADE_INTEGER_UNARY(invert, static_cast<T>(~x))
BLADE_INLINE bool fn_logical_not(bool x) { return !x; }

// --- binary, numeric ---
BLADE_FLOAT_BINARY(add, a + b)
BLADE_FLOAT_BINARY(sub, a - b)
BLADE_FLOAT_BINARY(mul, a* b)
BLADE_FLOAT_BINARY(div, a / b)
// NaN from either side goes through.
BLADE_FLOAT_BINARY(maximum, (a > b) | (a != a) ? a : b)
BLADE_FLOAT_BINARY(minimum, (a < b) | (a != a) ? a : b)
BLADE_FLOAT_BINARY(div_no_nan, b == F(0) ? F(0) : a / b)
BLADE_FLOAT_BINARY(mul_no_nan, b == F(0) ? F(0) : a * b)
BLADE_FLOAT_BINARY(xdivy, a == F(0) ? F(0) : a / b)
BLADE_FLOAT_BINARY(xlogy, a == F(0) ? F(0) : a * math::log(b))
BLADE_FLOAT_BINARY(pow, math::pow(a, b))
BLADE_FLOAT_BINARY(atan2, math::atan2(a, b))
BLADE_FLOAT_BINARY(squared_difference, (a - b) * (a - b))
BLADE_INTEGER_BINARY(add, wrapping_add(a, b))
BLADE_INTEGER_BINARY(sub, wrapping_sub(a, b))
BLADE_INTEGER_BINARY(mul, wrapping_mul(a, b))
BLADE_INTEGER_BINARY(maximum, a > b ? a : b)
BLADE_INTEGER_BINARY(minimum, a < b ? a : b)
BLADE_INTEGER_BINARY(squared_difference, wrapping_mul(wrapping_sub(a, b), wrapping_sub(a, b)))
BLADE_INTEGER_BINARY(int_pow, math::int_pow(a, b))
BLADE_INTEGER_BINARY(bitwise_and, static_cast<T>(a& b))
BLADE_INTEGER_BINARY(bitwise_or, static_cast<T>(a | b))
BLADE_INTEGER_BINARY(bitwise_xor, static_cast<T>(a ^ b))
BLADE_INTEGER_BINARY(left_shift, int_left_shift(a, b))
BLADE_INTEGER_BINARY(right_shift, int_right_shift(a, b))
BLADE_INLINE bool fn_logical_and(bool a, bool b) { return a & b; }
BLADE_INLINE bool fn_logical_or(bool a, bool b) { return a | b; }

// --- division that may fail ---
BLADE_FLOAT_BINARY(float_floor_div, math::floor(a / b))
BLADE_FLOAT_BINARY(float_floor_mod, math::floor_mod(a, b))
BLADE_FLOAT_BINARY(float_truncate_mod, math::fmod(a, b))

template <typename T>
BLADE_INLINE T fn_floor_div(T a, T b, int32_t* error) {
  if constexpr (IsFloat<T>::value) {
    return fn_float_floor_div(a, b);
  } else {
    return int_floor_div(a, b, error);
  }
}
template <typename T>
BLADE_INLINE T fn_floor_mod(T a, T b, int32_t* error) {
  if constexpr (IsFloat<T>::value) {
    return fn_float_floor_mod(a, b);
  } else {
    return int_floor_mod(a, b, error);
  }
}
template <typename T>
BLADE_INLINE T fn_truncate_mod(T a, T b, int32_t* error) {
  if constexpr (IsFloat<T>::value) {
    return fn_float_truncate_mod(a, b);
  } else {
    return int_truncate_mod(a, b, error);
  }
}
template <typename T>
BLADE_INLINE T fn_truncate_div(T a, T b, int32_t* error) {
  return int_truncate_div(a, b, error);
}

// --- comparisons, select ---
#define BLADE_COMPARISON(name, op)        \
  template <typename T>                   \
  BLADE_INLINE bool fn_##name(T a, T b) { \
    if constexpr (IsHalf<T>::value) {     \
      return to_float(a) op to_float(b);  \
    } else {                              \
      return a op b;                      \
    }                                     \
  }
BLADE_COMPARISON(equal, ==)
BLADE_COMPARISON(not_equal, !=)
BLADE_COMPARISON(less, <)
BLADE_COMPARISON(less_equal, <=)
BLADE_COMPARISON(greater, >)
BLADE_COMPARISON(greater_equal, >=)

BLADE_INLINE float fn_fma(float a, float b, float c) { return math::fma(a, b, c); }

template <typename T>
BLADE_INLINE T fn_select(bool predicate, T on_true, T on_false) {
  return predicate ? on_true : on_false;
}

#undef BLADE_FLOAT_UNARY
#undef BLADE_FLOAT_BINARY
#undef BLADE_INTEGER_UNARY
#undef BLADE_INTEGER_BINARY
#undef BLADE_COMPARISON

}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_SCALAR_H_
