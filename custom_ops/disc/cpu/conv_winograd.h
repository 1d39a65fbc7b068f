// Convolution of 3x3 kernels by Winograd's minimal filtering F(2x2, 3x3): Lavin and Gray, arXiv:1509.09308.
//
// A tile of 2x2 output pixels reads 4x4 input pixels d and is A^T [ (G g G^T) * (B^T d B) ] A, with 16 products for
// each pair of channels where the direct form has 36. For each of the 16 positions these are a product of matrices:
// tiles by input channels times input channels by output channels. Init transforms the weights (in double precision); a
// task transforms the input of some tiles into a buffer in the second level cache, and passes all its panels of output
// channels over them.
//
// Where an operand is infinite or NaN, or a sum overflows, a tile's outputs that do not read that operand would be NaN
// too. A tile with any result that is not finite is computed again directly, from weights that the transformed ones
// give back.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_WINOGRAD_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_WINOGRAD_H_

#include "conv_args.h"
#include "conv_tile.h"
#include "gemm_block.h"

namespace blade {
namespace {

constexpr int kWinogradOut = 2;                                            // output pixels of a tile in each direction
constexpr int kWinogradIn = 4;                                             // input pixels
constexpr int kWinogradPlaces = kWinogradIn * kWinogradIn;                 // products of a tile and pair of channels
constexpr int64_t kWinogradChannels = kDepth;                              // most input channels
constexpr int64_t kWinogradSums = kWinogradPlaces * kPanel + kLineFloats;  // floats of a tile's sums: odd lines

inline int64_t packed_winograd_bytes(int64_t in_c, int64_t out_c) {
  return kWinogradPlaces * packed_b_bytes(in_c, out_c);
}

// Weights HWIO [3, 3, in_c, out_c] to panels of kPanel output channels, each [place][in_c][kPanel].
inline void pack_winograd_weights(const BladeRal* ral, const float* weights, int64_t in_c, int64_t out_c, float* dst) {
  const int64_t panels = ceil_div(out_c, kPanel);
  parallel_for(ral, panels * in_c, 40 * kPanel, [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t panel = row / in_c;
      const int64_t channel = row % in_c;
      float* to = dst + (panel * kWinogradPlaces * in_c + channel) * kPanel;
      for (int64_t n = 0; n < kPanel; ++n) {
        const int64_t column = panel * kPanel + n;
        double half[4][3];
        for (int64_t x = 0; x < 3; ++x) {
          double g[3];
          for (int64_t y = 0; y < 3; ++y) {
            g[y] = column < out_c ? weights[((y * 3 + x) * in_c + channel) * out_c + column] : 0.0f;
          }
          half[0][x] = g[0];
          half[1][x] = (g[0] + g[1] + g[2]) / 2;
          half[2][x] = (g[0] - g[1] + g[2]) / 2;
          half[3][x] = g[2];
        }
        for (int64_t y = 0; y < 4; ++y) {
          const double* g = half[y];
          const double row_of[4] = {g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2]};
          for (int64_t x = 0; x < 4; ++x) to[(y * 4 + x) * in_c * kPanel + n] = static_cast<float>(row_of[x]);
        }
      }
    }
  });
}

// How a convolution is cut, and where things lie in the buffer.
struct WinogradPlan {
  int64_t tile_rows;
  int64_t tile_cols;
  int64_t tiles;        // of all images
  int64_t block_tiles;  // at most, of a task
  int64_t tile_blocks;
  int64_t panels;
  int64_t panel_blocks;
  int64_t depth;           // input channels, rounded up to whole lines
  int64_t places;          // that share a row of the buffer
  int64_t input_floats;    // of a task's transformed input
  int64_t scratch_floats;  // and of its sums

  WinogradPlan(const ConvArgs& args, int64_t threads) {
    constexpr int64_t kBufferFloats = (512 << 10) / sizeof(float);  // of transformed input: half a second level cache
    tile_rows = ceil_div(args.out_h, kWinogradOut);
    tile_cols = ceil_div(args.out_w, kWinogradOut);
    tiles = args.batch * tile_rows * tile_cols;
    panels = ceil_div(args.out_c, kPanel);
    depth = round_up(args.in_c, kLineFloats);
    places = kDepth / depth;
    // Whole micro-kernel tiles, and at least two of them: the weights of a panel are read once for each block.
    const int64_t fit = max64(kBufferFloats / (kWinogradPlaces * depth) / kTileRows, 2) * kTileRows;
    const int64_t least = ceil_div(tiles, fit);
    const int64_t most = max64(tiles / kTileRows, 1);
    block_tiles = ceil_div(tiles, least > 1 ? max64(least, min64(round_up(least, threads), most)) : 1);
    tile_blocks = ceil_div(tiles, block_tiles);
    // Panels are cut where there are too few blocks for all threads: each task transforms its input again.
    panel_blocks = tile_blocks >= threads ? 1 : min64(ceil_div(threads, tile_blocks), panels);
    input_floats = ceil_div(kWinogradPlaces, places) * block_tiles * kRowStride;
    scratch_floats = input_floats + block_tiles * kWinogradSums;
  }

  int64_t tasks() const { return tile_blocks * panel_blocks; }
  // Where the row of a tile begins at one place.
  int64_t row(int64_t place, int64_t tile) const {
    return (place / places * block_tiles + tile) * kRowStride + place % places * depth;
  }
};

// One dimension of B^T d: four inputs to four.
BLADE_ALWAYS_INLINE void winograd_input(const Vec* d, int step, Vec* out) {
  out[0] = d[0] - d[2 * step];
  out[step] = d[step] + d[2 * step];
  out[2 * step] = d[2 * step] - d[step];
  out[3 * step] = d[step] - d[3 * step];
}

// One dimension of A^T m: four sums to two outputs.
BLADE_ALWAYS_INLINE void winograd_output(const Vec* m, int step, Vec* out, int out_step) {
  out[0] = m[0] + m[step] + m[2 * step];
  out[out_step] = m[step] - m[2 * step] - m[3 * step];
}

// One convolution in the making.
struct WinogradConv {
  const ConvArgs& args;
  const WinogradPlan& plan;
  const RowEpilogue& epilogue;
  const ScratchPool& scratch;

  void operator()(int64_t begin, int64_t end) const {
    const int32_t slot = scratch.acquire();
    float* buffer = reinterpret_cast<float*>(scratch.data(slot));
    float* sums = buffer + plan.input_floats;
    int64_t there = -1;  // the block whose transformed input the buffer holds
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task / plan.panel_blocks;
      const int64_t part = task % plan.panel_blocks;
      const int64_t first = block * plan.block_tiles;
      const int64_t count = min64(plan.block_tiles, plan.tiles - first);
      if (block != there) transform(first, count, buffer);
      there = block;
      const int64_t last_panel = plan.panels * (part + 1) / plan.panel_blocks;
      for (int64_t p = plan.panels * part / plan.panel_blocks; p < last_panel; ++p) {
        multiply(p, count, buffer, sums);
        finish(p, first, count, sums);
      }
    }
    scratch.release(slot);
  }

 private:
  struct Place {
    int64_t image;
    int64_t y;  // of the tile's first output pixel
    int64_t x;
  };
  Place place_of(int64_t tile) const {
    const int64_t row = tile / plan.tile_cols;
    return {row / plan.tile_rows, row % plan.tile_rows * kWinogradOut, tile % plan.tile_cols * kWinogradOut};
  }

  // The input pixel, or NULL outside.
  const float* pixel(const Place& place, int64_t y, int64_t x) const {
    const int64_t iy = place.y + y - args.pad_top;
    const int64_t ix = place.x + x - args.pad_left;
    if (iy < 0 || iy >= args.in_h || ix < 0 || ix >= args.in_w) return nullptr;
    return args.input + ((place.image * args.in_h + iy) * args.in_w + ix) * args.in_c;
  }

  BLADE_NOINLINE void transform(int64_t first, int64_t count, float* buffer) const {
    static const float kZeros[kWinogradChannels] = {};
    for (int64_t t = 0; t < count; ++t) {
      const Place place = place_of(first + t);
      const float* pixels[kWinogradPlaces];
      float* rows[kWinogradPlaces];
      for (int64_t i = 0; i < kWinogradPlaces; ++i) {
        const float* from = pixel(place, i / kWinogradIn, i % kWinogradIn);
        pixels[i] = from != nullptr ? from : kZeros;
        rows[i] = buffer + plan.row(i, t);
      }
      transform_tile(pixels, rows);
    }
  }

  BLADE_NOINLINE void transform_tile(const float* const* pixels, float* const* rows) const {
    for (int64_t c = 0; c < args.in_c; c += kLanes) {
      const int rest = static_cast<int>(min64(args.in_c - c, kLanes));
      Vec d[kWinogradPlaces];
      if (rest == kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kWinogradPlaces; ++i) d[i] = load(pixels[i] + c);
      } else {
        for (int i = 0; i < kWinogradPlaces; ++i) d[i] = load_first(pixels[i] + c, rest);
      }
      Vec half[kWinogradPlaces];
#pragma GCC unroll 4
      for (int x = 0; x < kWinogradIn; ++x) winograd_input(d + x, kWinogradIn, half + x);
#pragma GCC unroll 4
      for (int y = 0; y < kWinogradIn; ++y) winograd_input(half + y * kWinogradIn, 1, d + y * kWinogradIn);
#pragma GCC unroll 16
      for (int i = 0; i < kWinogradPlaces; ++i) store(rows[i] + c, d[i]);
    }
  }

  // The products of a panel at all places: sums[tile][place][kPanel].
  BLADE_NOINLINE void multiply(int64_t p, int64_t count, const float* buffer, float* sums) const {
    const int64_t micro = ceil_div(count, kTileRows);
    const int64_t lines = ceil_div(kPanel, micro);
    const int64_t step = ceil_div(args.in_c, kLineFloats) * lines * kLineFloats;
    const float* b = args.weights_packed + p * kWinogradPlaces * args.in_c * kPanel;
    for (int64_t place = 0; place < kWinogradPlaces; ++place) {
      const float* next = b + args.in_c * kPanel;
      int64_t first = 0;
      for (int64_t t = 1; t <= micro; ++t) {
        const int64_t last = count * t / micro;
        float* c[kTileRows];
        for (int64_t i = first; i < last; ++i) c[i - first] = sums + i * kWinogradSums + place * kPanel;
        const Ahead ahead = {next + (t - 1) * step, lines, kLineFloats, lines * kLineFloats};
        multiply_tile_dispatch<2>(last - first, args.in_c, buffer + plan.row(place, first), b, kPanel, c, false, ahead);
        first = last;
      }
      b = next;
    }
  }

  BLADE_NOINLINE void finish(int64_t p, int64_t first, int64_t count, const float* sums) const {
    const int64_t n = p * kPanel;
    const int64_t columns = min64(kPanel, args.out_c - n);
    for (int64_t t = 0; t < count; ++t) {
      const Place place = place_of(first + t);
      float results[kWinogradOut * kWinogradOut * kPanel] __attribute__((aligned(64)));
      if (!transform_sums(sums + t * kWinogradSums, results)) compute_directly(p, place, results);
      for (int64_t i = 0; i < kWinogradOut * kWinogradOut; ++i) {
        const int64_t y = place.y + i / kWinogradOut;
        const int64_t x = place.x + i % kWinogradOut;
        if (y >= args.out_h || x >= args.out_w) continue;
        const int64_t m = (place.image * args.out_h + y) * args.out_w + x;
        float* c = args.output + m * args.out_c + n;
        copy_floats(c, results + i * kPanel, columns);
        if (epilogue.apply != nullptr) epilogue.apply(epilogue.self, m, n, n + columns, c);
      }
    }
  }

  // A tile's sums to its outputs [pixel][kPanel]; false if any is not finite.
  static BLADE_ALWAYS_INLINE bool transform_sums(const float* sums, float* results) {
    Vec zero = {};  // stays zero while all results are finite
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      Vec m[kWinogradPlaces];
#pragma GCC unroll 16
      for (int i = 0; i < kWinogradPlaces; ++i) m[i] = load(sums + i * kPanel + v * kLanes);
      Vec half[kWinogradOut * kWinogradIn];
#pragma GCC unroll 4
      for (int x = 0; x < kWinogradIn; ++x) winograd_output(m + x, kWinogradIn, half + x, kWinogradIn);
#pragma GCC unroll 2
      for (int y = 0; y < kWinogradOut; ++y) {
        Vec out[kWinogradOut];
        winograd_output(half + y * kWinogradIn, 1, out, 1);
#pragma GCC unroll 2
        for (int x = 0; x < kWinogradOut; ++x) {
          store(results + (y * kWinogradOut + x) * kPanel + v * kLanes, out[x]);
          zero = fma(out[x], Vec{}, zero);
        }
      }
    }
    return sum(zero) == 0.0f;
  }

  // The outputs of a tile in the direct form; g of a dimension is u0, u1 - u2, u3.
  BLADE_NOINLINE void compute_directly(int64_t p, const Place& place, float* results) const {
    const float* panel = args.weights_packed + p * kWinogradPlaces * args.in_c * kPanel;
    const int64_t step = args.in_c * kPanel;
    for (int64_t i = 0; i < kWinogradOut * kWinogradOut; ++i) {
      float* result = results + i * kPanel;
      zero_floats(result, kPanel);
      for (int64_t tap = 0; tap < 9; ++tap) {
        const float* from = pixel(place, i / kWinogradOut + tap / 3, i % kWinogradOut + tap % 3);
        if (from == nullptr) continue;
        for (int64_t c = 0; c < args.in_c; ++c) {
          const float* u = panel + c * kPanel;
          for (int64_t n = 0; n < kPanel; ++n) {
            const auto across = [&](int64_t y) {
              const float* row = u + y * kWinogradIn * step + n;
              return tap % 3 == 0 ? row[0] : tap % 3 == 1 ? row[step] - row[2 * step] : row[3 * step];
            };
            const float g = tap / 3 == 0 ? across(0) : tap / 3 == 1 ? across(1) - across(2) : across(3);
            result[n] += from[c] * g;
          }
        }
      }
    }
  }
};

// For 3x3 kernels of stride, dilation and groups 1, of 1 to kWinogradChannels input channels, as conv2d otherwise;
// args.weights_packed comes from pack_winograd_weights.
BLADE_NOINLINE inline int32_t conv2d_winograd_to(const BladeRal* ral, const ConvArgs& args,
                                                 const RowEpilogue& epilogue) {
  if (args.batch * args.out_h * args.out_w == 0 || args.out_c == 0) return BLADE_OK;
  const WinogradPlan plan(args, ral->num_threads);
  ScratchPool scratch(ral);
  if (!scratch.allocate(plan.scratch_floats * static_cast<int64_t>(sizeof(float)))) return BLADE_NO_MEMORY;
  const int64_t products = kWinogradPlaces * args.in_c * args.out_c / plan.panel_blocks;
  const int64_t cost = plan.block_tiles * products / (4 * kLanes) + 1000;
  const WinogradConv conv = {args, plan, epilogue, scratch};
  parallel_for(ral, plan.tasks(), cost, conv);
  return BLADE_OK;
}

template <class Epilogue = NoEpilogue>
inline int32_t conv2d_winograd(const BladeRal* ral, const ConvArgs& args, const Epilogue& epilogue = Epilogue{}) {
  return conv2d_winograd_to(ral, args, epilogue_of(epilogue));
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_WINOGRAD_H_
