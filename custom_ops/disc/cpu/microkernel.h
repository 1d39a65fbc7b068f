// The register-blocked float32 multiply that GEMM, convolution and attention share.
//
// A tile is kTileRows x kPanel: 14 x 32 with AVX-512 (28 accumulators of 32 registers), 6 x 16 with AVX2 (12 of 16).
// Left operand: rows copied into a buffer with the constant row stride kRowStride, so that one register addresses all
//   rows and rows whose stride in memory is a power of two do not evict each other.
// Right operand: a panel of kPanel columns, row k at b + k * b_stride.
//
// A tile's operands are larger than the first level cache on purpose: long sums keep C out of the way. Both are
// fetched from the second level while the registers are busy, the right one kPrefetchRows ahead, the left one a line
// of each row in turn. Loop bodies are kept small: when two hardware threads share a core they share its decoders.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MICROKERNEL_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MICROKERNEL_H_

#include "simd.h"

namespace blade {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 14;
#else
constexpr int kTileRows = 6;
#endif
constexpr int kPanel = 2 * kLanes;       // columns of a panel of the right operand
constexpr int kDepth = 768;              // most of the inner dimension that is multiplied before C is written
constexpr int kRowStride = kDepth + 16;  // floats between rows of the left operand's buffer: an odd number of lines
constexpr int kPrefetchRows = 16;        // rows of the right operand that loads are announced ahead
constexpr int kLineFloats = 16;

// Memory that the caller will want soon. For each kLineFloats steps of the inner dimension `lines` cache lines of it,
// `stride` floats apart, are fetched into the second level cache; then `next` moves on by `step`.
struct Ahead {
  const float* next;
  int64_t lines;
  int64_t stride;
  int64_t step;
};

// Sums that run side by side where MR * NV accumulators alone would not hide the latency of an FMA.
constexpr int parallel_sums(int rows, int vectors) { return rows * vectors >= 8 ? 1 : rows * vectors >= 4 ? 2 : 4; }

// c[i][0 .. NV * kLanes) (+)= sum over k < depth of a[i * kRowStride + k] * b[k * b_stride + ...], for i < MR.
template <int MR, int NV>
BLADE_NOINLINE __attribute__((optimize("align-loops=64"))) void multiply_tile(int64_t depth, const float* __restrict a,
                                                                              const float* __restrict b,
                                                                              int64_t b_stride, float* const* c,
                                                                              bool accumulate, Ahead ahead) {
  constexpr int KU = parallel_sums(MR, NV);
  Vec acc[KU][MR][NV];
#pragma GCC unroll 4
  for (int u = 0; u < KU; ++u) {
#pragma GCC unroll 14
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) acc[u][i][v] = Vec{};
    }
  }
#pragma GCC unroll 14
  for (int i = 0; i < MR; ++i) {
    for (int v = 0; v < NV; ++v) __builtin_prefetch(c[i] + v * kLanes, 1);
  }
  const float* const end = a + depth;
  while (a + KU <= end) {
    const float* const stop = a + kLineFloats <= end ? a + kLineFloats : a + (end - a) / KU * KU;
    const float* upcoming = a + 2 * kLineFloats;  // prefetching never faults, so all of this may run past the end
    const float* line = ahead.next;
#pragma GCC unroll 1
    for (int64_t i = 0; i < ahead.lines; ++i) {
      __builtin_prefetch(line, 0, 2);
      line += ahead.stride;
    }
    ahead.next += ahead.step;
#pragma GCC unroll 1
    for (; a != stop; a += KU) {
      if (MR > 8) {  // fewer rows stay in the first level
        __builtin_prefetch(upcoming);
        upcoming += kRowStride;
      }
#pragma GCC unroll 4
      for (int u = 0; u < KU; ++u) {
        Vec right[NV];
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) right[v] = load(b + v * kLanes);
#pragma GCC unroll 2
        for (int v = 0; v < NV * kLanes; v += kLineFloats) __builtin_prefetch(b + kPrefetchRows * b_stride + v);
        b += b_stride;
#pragma GCC unroll 14
        for (int i = 0; i < MR; ++i) {
          const Vec left = splat(a[i * kRowStride + u]);
#pragma GCC unroll 2
          for (int v = 0; v < NV; ++v) acc[u][i][v] = fma(left, right[v], acc[u][i][v]);
        }
      }
    }
  }
  if (KU > 1) {
    for (; a != end; ++a) {
#pragma GCC unroll 14
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) acc[0][i][v] = fma(splat(a[i * kRowStride]), load(b + v * kLanes), acc[0][i][v]);
      }
      b += b_stride;
    }
  }
#pragma GCC unroll 14
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

template <int NV>
BLADE_ALWAYS_INLINE void multiply_tile_dispatch(int64_t rows, int64_t depth, const float* a, const float* b,
                                                int64_t b_stride, float* const* c, bool accumulate,
                                                const Ahead& ahead) {
#define BLADE_TILE(MR) \
  case MR:             \
    return multiply_tile<MR, NV>(depth, a, b, b_stride, c, accumulate, ahead);
  switch (rows) {
    BLADE_TILE(1)
    BLADE_TILE(2)
    BLADE_TILE(3)
    BLADE_TILE(4)
    BLADE_TILE(5)
    BLADE_TILE(6)
#if defined(__AVX512F__)
    BLADE_TILE(7)
    BLADE_TILE(8)
    BLADE_TILE(9)
    BLADE_TILE(10)
    BLADE_TILE(11)
    BLADE_TILE(12)
    BLADE_TILE(13)
    BLADE_TILE(14)
#endif
    default:
      return;
  }
#undef BLADE_TILE
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MICROKERNEL_H_
