// The vector type of the instruction set level that the file is compiled for, and the few operations kernels need.
//
// Everything in this folder lives in an unnamed namespace on purpose: one executable links the same headers compiled
// once for each instruction set level, and a shared (COMDAT) copy of an inline function could be the wrong level's.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_SIMD_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_SIMD_H_

#include <stdint.h>
#include <string.h>

#define BLADE_ALWAYS_INLINE inline __attribute__((always_inline))
#define BLADE_NOINLINE __attribute__((noinline))
#define BLADE_LAMBDA __attribute__((always_inline))  // a lambda that never becomes a call

namespace blade {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef float VecUnaligned __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef float Vec8 __attribute__((vector_size(32)));
typedef float Vec8Unaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef float Vec4Unaligned __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t Index8 __attribute__((vector_size(32)));

BLADE_ALWAYS_INLINE Vec load(const float* p) { return *reinterpret_cast<const VecUnaligned*>(p); }
BLADE_ALWAYS_INLINE void store(float* p, Vec v) { *reinterpret_cast<VecUnaligned*>(p) = v; }
BLADE_ALWAYS_INLINE Vec splat(float x) { return x - Vec{}; }

// a * b + c in one rounding, whatever the compiler's contraction setting.
BLADE_ALWAYS_INLINE Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return __builtin_ia32_vfmaddps512_mask(a, b, c, static_cast<unsigned short>(-1), 4);
#else
  return __builtin_ia32_vfmaddps256(a, b, c);
#endif
}

// a > b ? a : b for each lane; b where either is a NaN.
BLADE_ALWAYS_INLINE Vec max(Vec a, Vec b) {
#if defined(__AVX512F__)
  return __builtin_ia32_maxps512_mask(a, b, Vec{}, static_cast<unsigned short>(-1), 4);
#else
  return __builtin_ia32_maxps256(a, b);
#endif
}
BLADE_ALWAYS_INLINE Vec8 max8(Vec8 a, Vec8 b) { return __builtin_ia32_maxps256(a, b); }

// The two halves of a vector, or the vector itself and `other` where it has eight lanes.
BLADE_ALWAYS_INLINE void halves(Vec v, Vec8 other, Vec8* low, Vec8* high) {
  *high = other;
  memcpy(low, &v, sizeof(*low));
  if (kLanes == 16) memcpy(high, reinterpret_cast<const char*>(&v) + sizeof(v) - sizeof(*high), sizeof(*high));
}

BLADE_ALWAYS_INLINE float sum(Vec v) {
  Vec8 a, b;
  halves(v, Vec8{}, &a, &b);
  a += b;
  a += __builtin_shuffle(a, Index8{4, 5, 6, 7, 0, 1, 2, 3});
  a += __builtin_shuffle(a, Index8{2, 3, 0, 1, 6, 7, 4, 5});
  return a[0] + a[1];
}

// The largest lane; any lane where some are NaNs.
BLADE_ALWAYS_INLINE float largest(Vec v) {
  Vec8 a, b;
  halves(v, Vec8{}, &a, &b);
  if (kLanes == 16) a = max8(a, b);
  a = max8(a, __builtin_shuffle(a, Index8{4, 5, 6, 7, 0, 1, 2, 3}));
  a = max8(a, __builtin_shuffle(a, Index8{2, 3, 0, 1, 6, 7, 4, 5}));
  return a[0] > a[1] ? a[0] : a[1];
}

constexpr int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Copies `count` floats between buffers that do not overlap: memcpy without the call, for short runs.
BLADE_ALWAYS_INLINE void copy_floats(float* dst, const float* src, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(dst + i, load(src + i));
#if defined(__AVX512F__)
  if (i == count) return;
  const unsigned short mask = static_cast<unsigned short>((1u << (count - i)) - 1u);
  const Vec rest = __builtin_ia32_loadups512_mask(src + i, Vec{}, mask);
  __builtin_ia32_storeups512_mask(dst + i, rest, mask);
#else
  for (; i + 4 <= count; i += 4) {
    *reinterpret_cast<Vec4Unaligned*>(dst + i) = *reinterpret_cast<const Vec4Unaligned*>(src + i);
  }
  for (; i < count; ++i) dst[i] = src[i];
#endif
}

BLADE_ALWAYS_INLINE void zero_floats(float* dst, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(dst + i, Vec{});
  for (; i < count; ++i) dst[i] = 0.0f;
}

// dst[j * dst_stride + i] = src[i * src_stride + j] for i, j in [0, 8).
BLADE_ALWAYS_INLINE void transpose8x8(const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  Vec8 r[8], t[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = *reinterpret_cast<const Vec8Unaligned*>(src + i * src_stride);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // rows 2i and 2i+1, element pairs within each 128-bit half
    t[2 * i] = __builtin_shuffle(r[2 * i], r[2 * i + 1], Index8{0, 8, 1, 9, 4, 12, 5, 13});
    t[2 * i + 1] = __builtin_shuffle(r[2 * i], r[2 * i + 1], Index8{2, 10, 3, 11, 6, 14, 7, 15});
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {  // groups of four rows
    r[i] = __builtin_shuffle(t[i], t[i + 2], Index8{0, 1, 8, 9, 4, 5, 12, 13});
    r[i + 1] = __builtin_shuffle(t[i], t[i + 2], Index8{2, 3, 10, 11, 6, 7, 14, 15});
    r[i + 2] = __builtin_shuffle(t[i + 1], t[i + 3], Index8{0, 1, 8, 9, 4, 5, 12, 13});
    r[i + 3] = __builtin_shuffle(t[i + 1], t[i + 3], Index8{2, 3, 10, 11, 6, 7, 14, 15});
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // the two halves
    t[i] = __builtin_shuffle(r[i], r[i + 4], Index8{0, 1, 2, 3, 8, 9, 10, 11});
    t[i + 4] = __builtin_shuffle(r[i], r[i + 4], Index8{4, 5, 6, 7, 12, 13, 14, 15});
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) *reinterpret_cast<Vec8Unaligned*>(dst + i * dst_stride) = t[i];
}

// dst[j * dst_stride + i] = src[i * src_stride + j] for i in [0, rows), j in [0, columns).
inline void transpose_floats(const float* src, int64_t src_stride, int64_t rows, int64_t columns, float* dst,
                             int64_t dst_stride) {
  int64_t i = 0;
  for (; i + 8 <= rows; i += 8) {
    int64_t j = 0;
    for (; j + 8 <= columns; j += 8) {
      transpose8x8(src + i * src_stride + j, src_stride, dst + j * dst_stride + i, dst_stride);
    }
    for (; j < columns; ++j) {
      for (int64_t r = i; r < i + 8; ++r) dst[j * dst_stride + r] = src[r * src_stride + j];
    }
  }
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) dst[j * dst_stride + i] = src[i * src_stride + j];
  }
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_SIMD_H_
