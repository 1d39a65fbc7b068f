// float32 depthwise convolution: TensorFlow's DepthwiseConv2dNative with explicit pads.
//
//   output[b, y, x, c * multiplier + j] = sum over ky, kx of
//       input[b, y * stride_h - pad_top + ky * dilation_h, x * stride_w - pad_left + kx * dilation_w, c] *
//       weights[ky, kx, c, j],   then epilogue(pixel, 0, out_c, row)
//
// input: NHWC [batch, in_h, in_w, in_c]; what lies outside is zero. weights: [kernel_h, kernel_w, in_c, multiplier],
// read where they lie (args.weights_packed). output: NHWC [batch, out_h, out_w, in_c * multiplier]; out_c says so.
// groups is not looked at. Any extent may be 0. Epilogue: as in gemm.h, m = (b * out_h + y) * out_w + x.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_DEPTHWISE_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_DEPTHWISE_H_

#include "conv_args.h"
#include "conv_tile.h"
#include "gemm_block.h"

namespace blade {
namespace {

// The part of a window that lies inside the image, along one axis.
struct WindowRange {
  int64_t first;  // kernel position
  int64_t last;   // exclusive

  WindowRange(int64_t origin, int64_t kernel, int64_t dilation, int64_t in) {
    first = origin >= 0 ? 0 : min64(steps(-origin, dilation), kernel);
    last = origin >= in ? 0 : min64(steps(in - origin, dilation), kernel);
    last = max64(first, last);
  }

 private:
  // A division takes longer than all else that is done for a pixel of a small window.
  static int64_t steps(int64_t distance, int64_t dilation) {
    return dilation == 1 ? distance : ceil_div(distance, dilation);
  }
};

// How the work is cut: a task is a block of rows and a group of channel vectors.
struct DepthwisePlan {
  int64_t vectors;
  int64_t groups;
  int64_t rows;  // of a block
  int64_t row_blocks;
  int64_t row_floats;  // of a row in the buffer
  int64_t buffer_floats;

  DepthwisePlan(const ConvArgs& args, int64_t threads) {
    constexpr int64_t kBufferFloats = 12 << 10;  // the first level cache, more or less: each line is read for each tap
    vectors = ceil_div(args.in_c, kLanes);
    const int64_t cols = (args.out_w - 1) * args.stride_w + (args.kernel_w - 1) * args.dilation_w + 1;
    row_floats = cols * kLanes;
    const int64_t fit = (kBufferFloats / row_floats - (args.kernel_h - 1) * args.dilation_h - 1) / args.stride_h + 1;
    row_blocks = ceil_div(args.out_h, max64(fit, 1));
    const int64_t wanted = threads > 1 ? 2 * threads : 1;
    // Blocks of few rows copy more of the image; groups of few channels call more epilogues.
    groups = max64(min64(ceil_div(wanted, args.batch * row_blocks), vectors / 6), 1);
    if (args.batch * row_blocks * groups < wanted) {
      row_blocks = min64(ceil_div(wanted, args.batch * groups), ceil_div(args.out_h, 4));
    }
    row_blocks = max64(row_blocks, 1);
    rows = ceil_div(args.out_h, row_blocks);
    row_blocks = ceil_div(args.out_h, rows);
    const int64_t in_rows = (rows - 1) * args.stride_h + (args.kernel_h - 1) * args.dilation_h + 1;
    // Tiles compute surplus pixels from what lies behind the last row.
    buffer_floats = in_rows * row_floats + kSurplus * args.stride_w * kLanes;
  }

  static constexpr int64_t kSurplus = 14;
  int64_t weight_floats(const ConvArgs& args) const { return args.kernel_h * args.kernel_w * kLanes; }
};

// COLS neighbouring output pixels of one vector of channels. STRIDE: of pixels; 0 when it is only known at run time.
template <int COLS, int STRIDE>
BLADE_NOINLINE void depthwise_tile(const ConvArgs& args, const float* input, int64_t row_step, const float* weights,
                                   Vec* out) {
  const int64_t pixel = (STRIDE == 0 ? args.stride_w : STRIDE) * kLanes;
  Vec sums[COLS];
#pragma GCC unroll 14
  for (int i = 0; i < COLS; ++i) sums[i] = Vec{};
  for (int64_t ky = 0; ky < args.kernel_h; ++ky) {
    const float* in = input + ky * row_step;
    for (int64_t kx = 0; kx < args.kernel_w; ++kx) {
      const Vec w = load(weights);
#pragma GCC unroll 14
      for (int i = 0; i < COLS; ++i) sums[i] = fma(load(in + i * pixel), w, sums[i]);
      weights += kLanes;
      in += args.dilation_w * kLanes;
    }
  }
#pragma GCC unroll 14
  for (int i = 0; i < COLS; ++i) out[i] = sums[i];
}

template <int COLS>
inline void depthwise_any_stride(const ConvArgs& args, const float* input, int64_t row_step, const float* weights,
                                 Vec* out) {
  if (args.stride_w == 1) return depthwise_tile<COLS, 1>(args, input, row_step, weights, out);
  if (args.stride_w == 2) return depthwise_tile<COLS, 2>(args, input, row_step, weights, out);
  return depthwise_tile<COLS, 0>(args, input, row_step, weights, out);
}

// One vector of channels in a block of rows. The part of the image is copied into a buffer with its pads, pixels one
// vector apart: there no vector straddles cache lines, and no window is cut off.
struct DepthwiseBlock {
  const ConvArgs& args;
  const DepthwisePlan& plan;
  float* buffer;
  int64_t image;
  int64_t y;
  int64_t rows;

  BLADE_NOINLINE void run(int64_t vector) const {
    const int64_t channel = vector * kLanes;
    const int count = static_cast<int>(min64(args.in_c - channel, kLanes));
    float* weights = buffer + plan.buffer_floats;
    for (int64_t t = 0; t < args.kernel_h * args.kernel_w; ++t) {
      store(weights + t * kLanes, load_upto(args.weights_packed + t * args.in_c + channel, count));
    }
    stage(channel, count);
    for (int64_t r = 0; r < rows; ++r) multiply_row(r, channel, count, weights);
  }

 private:
  static BLADE_ALWAYS_INLINE Vec load_upto(const float* p, int count) {
    return count == kLanes ? load(p) : load_first(p, count);
  }

  void stage(int64_t channel, int count) const {
    const int64_t in_rows = (rows - 1) * args.stride_h + (args.kernel_h - 1) * args.dilation_h + 1;
    const int64_t cols = plan.row_floats / kLanes;
    const int64_t lo = min64(max64(args.pad_left, 0), cols);
    const int64_t hi = max64(min64(args.in_w + args.pad_left, cols), lo);
    for (int64_t r = 0; r < in_rows; ++r) {
      float* to = buffer + r * plan.row_floats;
      const int64_t iy = y * args.stride_h - args.pad_top + r;
      if (iy < 0 || iy >= args.in_h) {
        zero_floats(to, plan.row_floats);
        continue;
      }
      zero_floats(to, lo * kLanes);
      const float* from =
          args.input + ((image * args.in_h + iy) * args.in_w + lo - args.pad_left) * args.in_c + channel;
      if (count == kLanes) {
        for (int64_t v = lo; v < hi; ++v, from += args.in_c) store(to + v * kLanes, load(from));
      } else {
        for (int64_t v = lo; v < hi; ++v, from += args.in_c) store(to + v * kLanes, load_first(from, count));
      }
      zero_floats(to + hi * kLanes, (cols - hi) * kLanes);
    }
    float* end = buffer + in_rows * plan.row_floats;
    memset(end, 0, static_cast<size_t>(buffer + plan.buffer_floats - end) * sizeof(float));
  }

  // The first pixels of `left` ones; tells how many, maybe more than there are.
  int64_t multiply_tile_of(int64_t left, const float* in, int64_t row_step, const float* weights, Vec* sums) const {
    if constexpr (kLanes == 16) {
      if (left > 8) {
        depthwise_any_stride<14>(args, in, row_step, weights, sums);
        return 14;
      }
    }
    if (left > 4) {
      depthwise_any_stride<7>(args, in, row_step, weights, sums);
      return 7;
    }
    depthwise_any_stride<4>(args, in, row_step, weights, sums);
    return 4;
  }

  void multiply_row(int64_t r, int64_t channel, int count, const float* weights) const {
    const float* in = buffer + r * args.stride_h * plan.row_floats;
    float* out = args.output + ((image * args.out_h + y + r) * args.out_w) * args.out_c + channel;
    const int64_t row_step = args.dilation_h * plan.row_floats;
    Vec sums[DepthwisePlan::kSurplus];
    for (int64_t x = 0; x < args.out_w;) {
      const float* first = in + x * args.stride_w * kLanes;
      const int64_t cols = min64(multiply_tile_of(args.out_w - x, first, row_step, weights, sums), args.out_w - x);
      for (int64_t i = 0; i < cols; ++i, out += args.out_c) {
        if (count == kLanes) {
          store(out, sums[i]);
        } else {
          store_first(out, sums[i], count);
        }
      }
      x += cols;
    }
  }
};

// One output pixel, any number of channels, any multiplier.
inline void depthwise_pixel_any(const ConvArgs& args, const float* image, int64_t y, int64_t x, float* out) {
  const int64_t multiplier = args.in_c == 0 ? 1 : args.out_c / args.in_c;
  const int64_t top = y * args.stride_h - args.pad_top;
  const int64_t left = x * args.stride_w - args.pad_left;
  const WindowRange rows(top, args.kernel_h, args.dilation_h, args.in_h);
  const WindowRange taps(left, args.kernel_w, args.dilation_w, args.in_w);
  zero_floats(out, args.out_c);
  for (int64_t ky = rows.first; ky < rows.last; ++ky) {
    for (int64_t kx = taps.first; kx < taps.last; ++kx) {
      const int64_t iy = top + ky * args.dilation_h;
      const int64_t ix = left + kx * args.dilation_w;
      const float* in = image + (iy * args.in_w + ix) * args.in_c;
      const float* w = args.weights_packed + (ky * args.kernel_w + kx) * args.out_c;
      for (int64_t c = 0; c < args.in_c; ++c) {
        for (int64_t j = 0; j < multiplier; ++j) out[c * multiplier + j] += in[c] * w[c * multiplier + j];
      }
    }
  }
}

// The pixels of a row, any number of channels, any multiplier.
template <class Epilogue>
inline int32_t depthwise_any(const BladeRal* ral, const ConvArgs& args, const Epilogue& epilogue) {
  const int64_t cost = args.out_w * args.out_c * args.kernel_h * args.kernel_w + 50;
  parallel_for(ral, args.batch * args.out_h, cost, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const float* image = args.input + line / args.out_h * args.in_h * args.in_w * args.in_c;
      for (int64_t x = 0; x < args.out_w; ++x) {
        float* out = args.output + (line * args.out_w + x) * args.out_c;
        depthwise_pixel_any(args, image, line % args.out_h, x, out);
        epilogue(line * args.out_w + x, 0, args.out_c, out);
      }
    }
  });
  return BLADE_OK;
}

// All channels of a group in a block of rows; the epilogue sees their results while these are in the cache.
template <class Epilogue>
inline void depthwise_task(const ConvArgs& args, const DepthwisePlan& plan, int64_t task, float* buffer,
                           const Epilogue& epilogue) {
  const int64_t group = task % plan.groups;
  const int64_t y = task / plan.groups % plan.row_blocks * plan.rows;
  const int64_t image = task / (plan.groups * plan.row_blocks);
  const int64_t rows = min64(plan.rows, args.out_h - y);
  const int64_t first = plan.vectors * group / plan.groups;
  const int64_t last = plan.vectors * (group + 1) / plan.groups;
  const DepthwiseBlock block = {args, plan, buffer, image, y, rows};
  for (int64_t v = first; v < last; ++v) block.run(v);
  const int64_t begin = first * kLanes;
  const int64_t end = min64(last * kLanes, args.out_c);
  const int64_t pixel = (image * args.out_h + y) * args.out_w;
  for (int64_t m = pixel; m < pixel + rows * args.out_w; ++m) {
    epilogue(m, begin, end, args.output + m * args.out_c + begin);
  }
}

template <class Epilogue = NoEpilogue>
inline int32_t depthwise_conv2d(const BladeRal* ral, const ConvArgs& args, const Epilogue& epilogue = Epilogue{}) {
  if (args.batch * args.out_h * args.out_w == 0 || args.out_c == 0) return BLADE_OK;
  if (args.out_c != args.in_c) return depthwise_any(ral, args, epilogue);
  const DepthwisePlan plan(args, ral->num_threads);
  ScratchPool scratch(ral);
  const int64_t floats = plan.buffer_floats + plan.weight_floats(args);
  if (!scratch.allocate(floats * static_cast<int64_t>(sizeof(float)))) return BLADE_NO_MEMORY;
  const int64_t per_vector = plan.rows * args.out_w * (args.kernel_h * args.kernel_w / 3 + 4);
  const int64_t cost = per_vector * plan.vectors / plan.groups + 100;
  parallel_for(ral, args.batch * plan.row_blocks * plan.groups, cost, [&](int64_t begin, int64_t end) {
    const int32_t slot = scratch.acquire();
    float* buffer = reinterpret_cast<float*>(scratch.data(slot));
    for (int64_t task = begin; task < end; ++task) depthwise_task(args, plan, task, buffer, epilogue);
    scratch.release(slot);
  });
  return BLADE_OK;
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_DEPTHWISE_H_
