// The register-blocked inner loop of direct convolution: a few neighbouring output pixels, up to two vectors of
// channels.
//
// Input pixels lie in a staging buffer, kPitch floats from one output pixel's to the next one's. That distance is a
// constant, so one register addresses all pixels of a row. A tap is a place of the window: `depth` consecutive floats.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_TILE_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_TILE_H_

#include "microkernel.h"

namespace blade {
namespace {

#if defined(__AVX512F__)
constexpr int kTilePixels = 14;  // with two vectors each 28 accumulators of 32 registers; 7, 14, 28, ... are common
#else
constexpr int kTilePixels = 6;  // 12 of 16
#endif

struct ConvTile {
  const float* a;          // the first pixel's first tap
  int64_t row_step;        // floats in the buffer from one row of output pixels to the next
  const int64_t* offsets;  // of each tap
  int64_t taps;
  int64_t depth;
  const float* b;  // one panel: [taps][depth][kPanel]
  float* c;        // the first pixel's first channel
  int64_t pixel_stride;
  int64_t row_stride;
  int cols;     // pixels of a row to store; the others are computed from whatever lies there
  int columns;  // channels to store
  bool accumulate;
};

// Stores the first `count` lanes.
BLADE_ALWAYS_INLINE void store_first(float* p, Vec v, int count) {
#if defined(__AVX512F__)
  __builtin_ia32_storeups512_mask(p, v, static_cast<unsigned short>((1u << count) - 1u));
#else
  for (int i = 0; i < count; ++i) p[i] = v[i];
#endif
}
BLADE_ALWAYS_INLINE Vec load_first(const float* p, int count) {
#if defined(__AVX512F__)
  return __builtin_ia32_loadups512_mask(p, Vec{}, static_cast<unsigned short>((1u << count) - 1u));
#else
  Vec v = {};
  for (int i = 0; i < count; ++i) v[i] = p[i];
  return v;
#endif
}

// Stores sums [rows][pixels][vectors * kLanes]: the rare cases.
BLADE_NOINLINE inline void store_tile(const ConvTile& tile, const float* sums, int rows, int pixels, int vectors) {
  for (int r = 0; r < rows; ++r) {
    for (int i = 0; i < tile.cols; ++i) {
      float* c = tile.c + r * tile.row_stride + i * tile.pixel_stride;
      for (int v = 0; v < vectors; ++v) {
        const Vec sum = load(sums + ((r * pixels + i) * vectors + v) * kLanes);
        const int columns = tile.columns - v * kLanes;
        if (columns <= 0) continue;
        if (columns < kLanes) {
          store_first(c + v * kLanes, tile.accumulate ? load_first(c + v * kLanes, columns) + sum : sum, columns);
        } else {
          store(c + v * kLanes, tile.accumulate ? load(c + v * kLanes) + sum : sum);
        }
      }
    }
  }
}

// kRows rows of kCols pixels, kVectors vectors of channels.
template <int kPitch, int kRows, int kCols, int kVectors>
BLADE_NOINLINE void convolve_tile(const ConvTile& tile) {
  Vec sums[kRows][kCols][kVectors];
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 14
    for (int i = 0; i < kCols; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[r][i][v] = Vec{};
    }
  }
  const float* b = tile.b;
  const int64_t depth = tile.depth;
  for (int64_t t = 0; t < tile.taps; ++t) {
    const float* first = tile.a + tile.offsets[t];
    const float* second = first + tile.row_step;
    for (int64_t k = 0; k < depth; ++k) {
      Vec right[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        right[v] = load(b + v * kLanes);
        __builtin_prefetch(b + kPrefetchRows * kPanel + v * kLanes);  // weights come from the second level cache
      }
      b += kPanel;
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 14
        for (int i = 0; i < kCols; ++i) {
          const Vec left = splat((r == 0 ? first : second)[i * kPitch]);
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) sums[r][i][v] = fma(left, right[v], sums[r][i][v]);
        }
      }
      ++first;
      ++second;
    }
  }
  const bool plain = tile.cols == kCols && tile.columns >= kVectors * kLanes && !tile.accumulate;
  float rest[kRows * kCols * kVectors * kLanes] __attribute__((aligned(64)));
  float* c = plain ? tile.c : rest;
  const int64_t row_stride = plain ? tile.row_stride : kCols * kVectors * kLanes;
  const int64_t pixel_stride = plain ? tile.pixel_stride : kVectors * kLanes;
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 14
    for (int i = 0; i < kCols; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) store(c + r * row_stride + i * pixel_stride + v * kLanes, sums[r][i][v]);
    }
  }
  if (!plain) store_tile(tile, rest, kRows, kCols, kVectors);
}

using ConvTileFn = void (*)(const ConvTile& tile);

// The function for at least `cols` pixels in one row. Few of them: each costs compile time.
template <int kPitch, int kVectors>
inline ConvTileFn tile_of_one_row(int64_t cols) {
#if defined(__AVX512F__)
  if (cols > 12) return convolve_tile<kPitch, 1, 14, kVectors>;
  if (cols > 10) return convolve_tile<kPitch, 1, 12, kVectors>;
  if (cols > 8) return convolve_tile<kPitch, 1, 10, kVectors>;
  if (cols > 4) return convolve_tile<kPitch, 1, 8, kVectors>;
#else
  if (cols > 4) return convolve_tile<kPitch, 1, 6, kVectors>;
#endif
  return convolve_tile<kPitch, 1, 4, kVectors>;
}

// The same in each of two rows, for images so narrow that one row does not keep the processor busy.
constexpr int64_t kNarrow = kTilePixels / 2;
template <int kPitch, int kVectors>
inline ConvTileFn tile_of_two_rows(int64_t cols) {
#if defined(__AVX512F__)
  if (cols > 4) return convolve_tile<kPitch, 2, 7, kVectors>;
  return convolve_tile<kPitch, 2, 4, kVectors>;
#else
  (void)cols;
  return convolve_tile<kPitch, 2, 3, kVectors>;
#endif
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_TILE_H_
