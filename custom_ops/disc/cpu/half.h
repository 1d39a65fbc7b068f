// float16 and bfloat16: storage types, and their conversions to and from float32.
//
// The conversions are branch-free integer code, which vectorizes on every instruction set and with every compiler.
// To the nearest, ties to even; NaN stays NaN; float16 subnormals are kept.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_HALF_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_HALF_H_

#include <stdint.h>

#include <type_traits>

#include "math_bits.h"

namespace blade {

struct f16_t {
  uint16_t bits;
};
struct bf16_t {
  uint16_t bits;
};

BLADE_INLINE float to_float(float x) { return x; }

BLADE_INLINE float to_float(bf16_t x) { return math::from_bits(static_cast<uint32_t>(x.bits) << 16); }

BLADE_INLINE float to_float(f16_t x) {
  uint32_t magnitude = (x.bits & 0x7fffu) << 13;
  uint32_t exponent = magnitude & 0x0f800000u;
  uint32_t normal = magnitude + (112u << 23);
  uint32_t special = normal + (112u << 23);
  // A subnormal is its significand's bits below 2^-14, which a float subtraction normalizes.
  uint32_t subnormal = math::bits(math::from_bits(normal + (1u << 23)) - 0x1p-14f);
  uint32_t result = exponent == 0x0f800000u ? special : (exponent == 0u ? subnormal : normal);
  return math::from_bits(result | ((x.bits & 0x8000u) << 16));
}

BLADE_INLINE bf16_t float_to_bf16(float x) {
  uint32_t b = math::bits(x);
  uint32_t rounded = (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
  uint32_t nan = ((b >> 16) & 0x8000u) | 0x7fc0u;
  return {static_cast<uint16_t>((b & 0x7fffffffu) > 0x7f800000u ? nan : rounded)};
}

BLADE_INLINE f16_t float_to_f16(float x) {
  uint32_t b = math::bits(x);
  uint32_t magnitude = b & 0x7fffffffu;
  // Normal results: rebias the exponent and round; a carry into the exponent is right, up to infinity.
  uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Subnormal results: adding 0.5 puts their bits at the bottom of the significand, rounded.
  uint32_t subnormal = math::bits(math::from_bits(magnitude) + 0.5f) - 0x3f000000u;
  uint32_t large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  uint32_t result = magnitude >= (143u << 23) ? large : (magnitude < (113u << 23) ? subnormal : normal);
  return {static_cast<uint16_t>(result | ((b >> 16) & 0x8000u))};
}

// T is float, f16_t or bf16_t.
template <typename T>
BLADE_INLINE T from_float(float x) {
  if constexpr (std::is_same_v<T, f16_t>) {
    return float_to_f16(x);
  } else if constexpr (std::is_same_v<T, bf16_t>) {
    return float_to_bf16(x);
  } else {
    return x;
  }
}

}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_HALF_H_
