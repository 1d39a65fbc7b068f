// Direct convolution: a block of the image is copied into a buffer with its pads, and tiles read their windows there.
//
// The buffer holds the block's rows; in a row, columns of the same remainder by the stride lie together, so that the
// input pixels that neighbouring output pixels meet at one tap are neighbours. Two layouts:
//   wide: a pixel is a chunk of up to kConvDepth channels, kWidePitch floats from the next one (a distance that keeps
//     pixels in different sets of the cache); a tap is a kernel position.
//   slim: rows are as in the image, because there are so few channels; a tap is a whole row of the kernel.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_DIRECT_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_DIRECT_H_

#include "conv_args.h"
#include "conv_tile.h"
#include "gemm_block.h"

namespace blade {
namespace {

constexpr int64_t kConvDepth = 256;              // most channels of a chunk
constexpr int64_t kWidePitch = kConvDepth + 16;  // 17 cache lines

// kSlimPitch: 0 for the wide layout; stride_w * in_c, the distance between pixels, for the slim one.
template <int kSlimPitch>
struct Layout {
  static constexpr bool kSlim = kSlimPitch > 0;
  static constexpr int kPitch = kSlim ? kSlimPitch : static_cast<int>(kWidePitch);
};

// How a convolution is cut, and where things lie in the buffer.
struct ConvPlan {
  int64_t channels;  // of a group
  int64_t chunks;    // that channels are cut into
  int64_t depth;     // channels of a chunk; the last one may have fewer
  int64_t outs;      // output channels of a group
  int64_t panels;
  int64_t block_rows;  // output rows and columns of a block
  int64_t block_cols;
  int64_t row_blocks;
  int64_t col_blocks;
  int64_t panel_blocks;
  int64_t phase;       // columns of a block that have the same remainder by the stride
  int64_t row_floats;  // of a row in the buffer
  int64_t buffer_floats;
  int64_t taps;
  int64_t tap_floats;  // consecutive floats of a tap: the depth, but in the slim layout a row of the kernel

  int64_t tasks(const ConvArgs& args) const {
    return args.batch * args.groups * row_blocks * col_blocks * panel_blocks;
  }
};

inline int64_t conv_chunks(int64_t channels) { return max64(ceil_div(channels, kConvDepth), 1); }

// Rows or columns of the image that `outs` output positions read.
inline int64_t conv_extent(int64_t outs, int64_t stride, int64_t kernel, int64_t dilation) {
  return (outs - 1) * stride + (kernel - 1) * dilation + 1;
}

template <int kSlimPitch>
inline ConvPlan plan_conv(const ConvArgs& args, int64_t threads) {
  using L = Layout<kSlimPitch>;
  constexpr int64_t kBufferBytes = 320 << 10;  // of pixels: the buffer shares the second level cache with a panel
  constexpr int64_t kMostCols = 8 * kTilePixels;
  ConvPlan plan;
  plan.channels = args.in_c / args.groups;
  plan.chunks = conv_chunks(plan.channels);
  plan.depth = ceil_div(plan.channels, plan.chunks);
  plan.outs = args.out_c / args.groups;
  plan.panels = ceil_div(plan.outs, kPanel);
  plan.col_blocks = ceil_div(args.out_w, kMostCols);
  plan.block_cols = ceil_div(args.out_w, plan.col_blocks);
  const int64_t cols = conv_extent(plan.block_cols, args.stride_w, args.kernel_w, args.dilation_w);
  plan.phase = ceil_div(cols, args.stride_w);
  plan.row_floats = L::kSlim ? round_up(cols * args.in_c, kLanes) : plan.phase * args.stride_w * kWidePitch;
  plan.taps = L::kSlim ? args.kernel_h : args.kernel_h * args.kernel_w;
  plan.tap_floats = L::kSlim ? args.kernel_w * args.in_c : plan.depth;
  // As many rows as fit, but so few that all threads have work, and blocks of one size.
  const int64_t row_bytes = cols * plan.depth * static_cast<int64_t>(sizeof(float));
  const int64_t fit = max64((kBufferBytes / row_bytes - (args.kernel_h - 1) * args.dilation_h) / args.stride_h, 1);
  const int64_t others = args.batch * args.groups * plan.col_blocks;
  const int64_t wanted = threads > 1 ? 2 * threads : 1;
  plan.row_blocks = ceil_div(args.out_h, fit);
  const int64_t weight_bytes = plan.channels * args.kernel_h * args.kernel_w * plan.outs * 4;
  if (others * plan.row_blocks < wanted && weight_bytes <= (768 << 10)) {
    plan.row_blocks = min64(ceil_div(wanted, others), ceil_div(args.out_h, 4));
  }
  plan.row_blocks = max64(plan.row_blocks, 1);
  plan.block_rows = ceil_div(args.out_h, plan.row_blocks);
  plan.row_blocks = ceil_div(args.out_h, plan.block_rows);
  plan.panel_blocks = min64(ceil_div(wanted, others * plan.row_blocks), plan.panels);
  const int64_t rows = conv_extent(plan.block_rows, args.stride_h, args.kernel_h, args.dilation_h);
  // Tiles compute surplus pixels from what lies behind the last row.
  plan.buffer_floats = rows * plan.row_floats + (kTilePixels + 1) * L::kPitch;
  return plan;
}

// One convolution in the making.
template <int kSlimPitch>
struct DirectConv {
  using L = Layout<kSlimPitch>;

  const ConvArgs& args;
  const ConvPlan& plan;
  const RowEpilogue& epilogue;
  const ScratchPool& scratch;
  const int64_t* offsets;  // of each tap in the buffer

  // A task: a block of pixels and a range of panels.
  struct Block {
    int64_t image;
    int64_t group;
    int64_t y;
    int64_t rows;
    int64_t x;
    int64_t cols;
    int64_t first_panel;
    int64_t last_panel;
  };

  void operator()(int64_t begin, int64_t end) const {
    const int32_t slot = scratch.acquire();
    float* buffer = reinterpret_cast<float*>(scratch.data(slot));
    for (int64_t task = begin; task < end; ++task) run(block_of(task), buffer);
    scratch.release(slot);
  }

 private:
  // Blocks of rows vary fastest, so that neighbouring tasks share their weights.
  Block block_of(int64_t task) const {
    Block block;
    block.y = task % plan.row_blocks * plan.block_rows;
    block.rows = min64(plan.block_rows, args.out_h - block.y);
    task /= plan.row_blocks;
    block.x = task % plan.col_blocks * plan.block_cols;
    block.cols = min64(plan.block_cols, args.out_w - block.x);
    task /= plan.col_blocks;
    block.image = task % args.batch;
    task /= args.batch;
    block.group = task % args.groups;
    task /= args.groups;
    block.first_panel = plan.panels * task / plan.panel_blocks;
    block.last_panel = plan.panels * (task + 1) / plan.panel_blocks;
    return block;
  }

  void run(const Block& block, float* buffer) const {
    const int64_t window = args.kernel_h * args.kernel_w;
    for (int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
      const int64_t channel = chunk * plan.depth;
      const int64_t depth = min64(plan.depth, plan.channels - channel);
      stage(block, channel, depth, buffer);
      for (int64_t p = block.first_panel; p < block.last_panel; ++p) {
        const int64_t panel = block.group * plan.panels + p;
        const float* b = args.weights_packed + window * (panel * plan.channels + channel) * kPanel;
        multiply_panel(block, p, depth, buffer, b, chunk);
      }
    }
  }

  // --- staging ----------------------------------------------------------------------------------------------------
  BLADE_NOINLINE void stage(const Block& block, int64_t channel, int64_t depth, float* buffer) const {
    const int64_t rows = conv_extent(block.rows, args.stride_h, args.kernel_h, args.dilation_h);
    const int64_t cols = conv_extent(block.cols, args.stride_w, args.kernel_w, args.dilation_w);
    const int64_t top = block.y * args.stride_h - args.pad_top;
    const int64_t left = block.x * args.stride_w - args.pad_left;
    // Columns [lo, hi) lie in the image.
    const int64_t lo = min64(max64(-left, 0), cols);
    const int64_t hi = max64(min64(args.in_w - left, cols), lo);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t iy = top + r;
      const bool inside = iy >= 0 && iy < args.in_h;
      const float* row = inside ? args.input + (block.image * args.in_h + iy) * args.in_w * args.in_c : nullptr;
      float* dst = buffer + r * plan.row_floats;
      if (L::kSlim) {
        stage_slim(row, left, inside ? lo : cols, inside ? hi : cols, dst);
      } else {
        stage_wide(row + (inside ? block.group * plan.channels + channel : 0), left, inside ? lo : cols,
                   inside ? hi : cols, cols, depth, dst);
      }
    }
    memset(buffer + rows * plan.row_floats, 0, sizeof(float) * (kTilePixels + 1) * L::kPitch);
  }

  void stage_slim(const float* row, int64_t left, int64_t lo, int64_t hi, float* dst) const {
    const int64_t channels = args.in_c;
    zero_floats(dst, lo * channels);
    if (lo < hi) copy_floats(dst + lo * channels, row + (left + lo) * channels, (hi - lo) * channels);
    zero_floats(dst + hi * channels, plan.row_floats - hi * channels);
  }

  void stage_wide(const float* row, int64_t left, int64_t lo, int64_t hi, int64_t cols, int64_t depth,
                  float* dst) const {
    int64_t remainder = 0;
    int64_t quotient = 0;
    for (int64_t v = 0; v < cols; ++v) {
      float* pixel = dst + (remainder * plan.phase + quotient) * kWidePitch;
      if (v >= lo && v < hi) {
        copy_floats(pixel, row + (left + v) * args.in_c, depth);
      } else {
        zero_floats(pixel, depth);
      }
      if (++remainder < args.stride_w) continue;
      remainder = 0;
      ++quotient;
    }
  }

  // --- tiles ------------------------------------------------------------------------------------------------------
  BLADE_NOINLINE void multiply_panel(const Block& block, int64_t p, int64_t depth, const float* buffer, const float* b,
                                     int64_t chunk) const {
    const int64_t n = p * kPanel;
    const int64_t channel = block.group * plan.outs + n;
    ConvTile tile;
    tile.row_step = args.stride_h * plan.row_floats;
    tile.offsets = offsets;
    tile.taps = plan.taps;
    tile.depth = L::kSlim ? plan.tap_floats : depth;
    tile.b = b;
    tile.pixel_stride = args.out_c;
    tile.row_stride = args.out_w * args.out_c;
    tile.columns = static_cast<int>(min64(kPanel, plan.outs - n));
    tile.accumulate = chunk > 0;
    const bool finish = epilogue.apply != nullptr && chunk + 1 == plan.chunks;
    const bool two = !L::kSlim && block.cols <= kNarrow && tile.columns > kLanes;
    const int64_t tiles = ceil_div(block.cols, kTilePixels);
    for (int64_t y = 0; y < block.rows;) {
      const int64_t rows = two && y + 2 <= block.rows ? 2 : 1;
      for (int64_t i = 0; i < tiles; ++i) {
        const int64_t x = block.cols * i / tiles;
        tile.cols = static_cast<int>(block.cols * (i + 1) / tiles - x);
        const int64_t pixel = (block.image * args.out_h + block.y + y) * args.out_w + block.x + x;
        tile.a = buffer + y * tile.row_step + x * L::kPitch;
        tile.c = args.output + pixel * args.out_c + channel;
        function(rows, tile.cols, tile.columns)(tile);
        if (finish) finish_tile(tile, rows, pixel, channel);
      }
      y += rows;
    }
  }

  static ConvTileFn function(int64_t rows, int64_t cols, int64_t columns) {
    constexpr int kPitch = L::kPitch;
    if constexpr (!L::kSlim) {
      if (rows == 2) return tile_of_two_rows<kPitch, 2>(cols);
    }
    return columns > kLanes ? tile_of_one_row<kPitch, 2>(cols) : tile_of_one_row<kPitch, 1>(cols);
  }

  void finish_tile(const ConvTile& tile, int64_t rows, int64_t pixel, int64_t channel) const {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < tile.cols; ++i) {
        epilogue.apply(epilogue.self, pixel + r * args.out_w + i, channel, channel + tile.columns,
                       tile.c + r * tile.row_stride + i * tile.pixel_stride);
      }
    }
  }
};

// Where each tap's pixels begin in the buffer.
template <int kSlimPitch>
inline void find_taps(const ConvArgs& args, const ConvPlan& plan, int64_t* offsets) {
  if (Layout<kSlimPitch>::kSlim) {
    for (int64_t ky = 0; ky < args.kernel_h; ++ky) offsets[ky] = ky * args.dilation_h * plan.row_floats;
    return;
  }
  for (int64_t t = 0; t < plan.taps; ++t) {
    const int64_t column = t % args.kernel_w * args.dilation_w;
    const int64_t place = column % args.stride_w * plan.phase + column / args.stride_w;
    offsets[t] = t / args.kernel_w * args.dilation_h * plan.row_floats + place * kWidePitch;
  }
}

// The slim layout wants groups and dilation_w to be 1, and in_c to be at most kConvDepth.
template <int kSlimPitch>
BLADE_NOINLINE int32_t convolve_directly(const BladeRal* ral, const ConvArgs& args, const RowEpilogue& epilogue) {
  const ConvPlan plan = plan_conv<kSlimPitch>(args, ral->num_threads);
  ScratchPool scratch(ral);
  if (!scratch.allocate(plan.buffer_floats * static_cast<int64_t>(sizeof(float)))) return BLADE_NO_MEMORY;
  Scratch offset_memory(ral);
  int64_t* offsets = static_cast<int64_t*>(offset_memory.allocate(plan.taps * static_cast<int64_t>(sizeof(int64_t))));
  if (offsets == nullptr) return BLADE_NO_MEMORY;
  find_taps<kSlimPitch>(args, plan, offsets);
  const int64_t products = args.kernel_h * args.kernel_w * plan.channels * plan.outs / plan.panel_blocks;
  const int64_t cost = plan.block_rows * plan.block_cols * products / (4 * kLanes) + 1000;
  const DirectConv<kSlimPitch> conv = {args, plan, epilogue, scratch, offsets};
  parallel_for(ral, plan.tasks(args), cost, conv);
  return BLADE_OK;
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_DIRECT_H_
