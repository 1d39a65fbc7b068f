// The register-blocked float32 multiply that GEMM, convolution and attention share.
//
// A tile is kTileRows x kPanel: 12 x 32 with AVX-512 (24 accumulators of 32 registers), 6 x 16 with AVX2 (12 of 16).
// Left operand: rows copied into a buffer with the constant row stride kRowStride, so that one register addresses all
//   rows and rows whose stride in memory is a power of two do not evict each other.
// Right operand: a panel of kPanel columns, row k at b + k * b_stride.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MICROKERNEL_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MICROKERNEL_H_

#include "simd.h"

namespace blade {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif
constexpr int kPanel = 2 * kLanes;       // columns of a panel of the right operand
constexpr int kDepth = 256;              // most of the inner dimension that is multiplied before C is written
constexpr int kRowStride = kDepth + 16;  // floats between rows of the left operand's buffer: 17 cache lines
constexpr int kBlockRows = 48;           // rows of the left operand's buffer: 52 KiB of stack
constexpr int kPrefetchRows = 16;        // rows of the right operand that loads are announced ahead
constexpr int kBufferFloats = kBlockRows * kRowStride;

// c[i][0 .. NV * kLanes) (+)= sum over k < depth of a[i * kRowStride + k] * b[k * b_stride + ...], for i < MR.
// KU sums run side by side where MR * NV alone would not hide the latency of an FMA.
template <int MR, int NV, int KU>
BLADE_NOINLINE void multiply_tile(int64_t depth, const float* __restrict a, const float* __restrict b, int64_t b_stride,
                                  float* const* c, bool accumulate) {
  Vec acc[KU][MR][NV];
#pragma GCC unroll 4
  for (int u = 0; u < KU; ++u) {
#pragma GCC unroll 12
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) acc[u][i][v] = Vec{};
    }
  }
  int64_t k = 0;
  for (; k + KU <= depth; k += KU) {
#pragma GCC unroll 4
    for (int u = 0; u < KU; ++u) {
      Vec right[NV];
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) {
        right[v] = load(b + v * kLanes);
        // The first tile of a panel finds it in L2 at best; prefetching never faults, so it may run past the end.
        __builtin_prefetch(b + kPrefetchRows * b_stride + v * kLanes);
      }
      b += b_stride;
#pragma GCC unroll 12
      for (int i = 0; i < MR; ++i) {
        const Vec left = splat(a[i * kRowStride + u]);
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) acc[u][i][v] = fma(left, right[v], acc[u][i][v]);
      }
    }
    a += KU;
  }
  if (KU > 1) {
    for (; k < depth; ++k) {
#pragma GCC unroll 12
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) acc[0][i][v] = fma(splat(a[i * kRowStride]), load(b + v * kLanes), acc[0][i][v]);
      }
      b += b_stride;
      a += 1;
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      Vec total = acc[0][i][v];
#pragma GCC unroll 4
      for (int u = 1; u < KU; ++u) total += acc[u][i][v];
      if (accumulate) total += load(c[i] + v * kLanes);
      store(c[i] + v * kLanes, total);
    }
  }
}

// The number of rows that a tile for `rows` rows computes; the surplus rows are garbage that the caller drops.
constexpr int tile_rows_for(int64_t rows) {
  return rows <= 2 ? static_cast<int>(rows) : rows <= 4 ? 4 : rows <= 6 ? 6 : rows <= 8 ? 8 : 12;
}

template <int NV>
BLADE_ALWAYS_INLINE void multiply_tile_dispatch(int rows, int64_t depth, const float* a, const float* b,
                                                int64_t b_stride, float* const* c, bool accumulate) {
  switch (rows) {
    case 1:
      return multiply_tile<1, NV, 4>(depth, a, b, b_stride, c, accumulate);
    case 2:
      return multiply_tile<2, NV, 2>(depth, a, b, b_stride, c, accumulate);
    case 4:
      return multiply_tile<4, NV, 1>(depth, a, b, b_stride, c, accumulate);
    case 6:
      return multiply_tile<6, NV, 1>(depth, a, b, b_stride, c, accumulate);
#if defined(__AVX512F__)
    case 8:
      return multiply_tile<8, NV, 1>(depth, a, b, b_stride, c, accumulate);
    default:
      return multiply_tile<12, NV, 1>(depth, a, b, b_stride, c, accumulate);
#else
    default:
      return;
#endif
  }
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MICROKERNEL_H_
