// float32 two-dimensional convolution, TensorFlow's Conv2D with explicit pads, as implicit GEMM.
//
//   output[b, y, x, o] = sum over ky, kx, c of
//       input[b, y * stride_h - pad_top + ky * dilation_h, x * stride_w - pad_left + kx * dilation_w, c'] *
//       weights[ky, kx, c, o],   then epilogue(pixel, n_begin, n_end, row)
//
// input: NHWC [batch, in_h, in_w, in_c]; what lies outside is zero. weights: HWIO [kernel_h, kernel_w, in_c / groups,
// out_c], packed once by pack_conv_weights. output: NHWC [batch, out_h, out_w, out_c]; the caller computes out_h and
// out_w (pads below and to the right follow from them). groups divides in_c and out_c; output channel o of group
// g = o / (out_c / groups) reads the input channels c' = g * in_c / groups + c. Any extent may be 0.
// Epilogue: as in gemm.h, m = (b * out_h + y) * out_w + x and n the output channel.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_H_

#include "gemm.h"

namespace blade {
namespace {

struct ConvArgs {
  int64_t batch = 0;
  int64_t in_h = 0;
  int64_t in_w = 0;
  int64_t in_c = 0;
  int64_t out_h = 0;
  int64_t out_w = 0;
  int64_t out_c = 0;
  int64_t kernel_h = 1;
  int64_t kernel_w = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t dilation_h = 1;
  int64_t dilation_w = 1;
  int64_t pad_top = 0;
  int64_t pad_left = 0;
  int64_t groups = 1;
  const float* input = nullptr;
  const float* weights_packed = nullptr;
  float* output = nullptr;
};

// Bytes of packed weights [kernel_h, kernel_w, in_c / groups, out_c].
inline int64_t packed_conv_bytes(int64_t kernel_h, int64_t kernel_w, int64_t group_in_c, int64_t out_c,
                                 int64_t groups) {
  return groups * packed_b_bytes(kernel_h * kernel_w * group_in_c, out_c / groups);
}

inline void pack_conv_weights(const BladeRal* ral, const float* weights, int64_t kernel_h, int64_t kernel_w,
                              int64_t group_in_c, int64_t out_c, int64_t groups, float* dst) {
  const int64_t k = kernel_h * kernel_w * group_in_c;
  const int64_t n = out_c / groups;
  const int64_t stride = packed_b_bytes(k, n) / 4;
  for (int64_t g = 0; g < groups; ++g) pack_b(ral, weights + g * n, out_c, false, k, n, dst + g * stride);
}

// The left operand of a convolution: row m is the window of output pixel m, (ky, kx, channel) in order.
struct ConvWindows {
  const ConvArgs& args;

  void operator()(int64_t group, int64_t m, int64_t rows, int64_t k, int64_t depth, float* buffer) const {
    int64_t x = m % args.out_w;
    int64_t y = m / args.out_w % args.out_h;
    int64_t image = m / (args.out_w * args.out_h);
    const int64_t channels = args.in_c / args.groups;
    const int64_t span = args.kernel_w * channels;  // of one row of the kernel
    const Start start = {channels, span, k / span, k % span};
    for (int64_t i = 0; i < rows; ++i) {
      copy_window(group, image, y, x, start, depth, buffer + i * kRowStride);
      if (++x < args.out_w) continue;
      x = 0;
      if (++y < args.out_h) continue;
      y = 0;
      ++image;
    }
  }

 private:
  // Where in a window a block begins.
  struct Start {
    int64_t channels;
    int64_t span;
    int64_t ky;
    int64_t first;
  };

  void copy_window(int64_t group, int64_t image, int64_t y, int64_t x, const Start& start, int64_t depth,
                   float* dst) const {
    const int64_t channels = start.channels;
    const int64_t left = x * args.stride_w - args.pad_left;
    int64_t ky = start.ky;
    int64_t first = start.first;
    while (depth > 0) {
      const int64_t count = min64(start.span - first, depth);
      const int64_t iy = y * args.stride_h - args.pad_top + ky * args.dilation_h;
      if (iy < 0 || iy >= args.in_h) {
        zero_floats(dst, count);
      } else {
        const float* row = args.input + (image * args.in_h + iy) * args.in_w * args.in_c;
        if (args.groups == 1 && args.dilation_w == 1) {
          copy_span(row, left * channels, first, count, dst);
        } else {
          copy_taps(row + group * channels, left, channels, first, count, dst);
        }
      }
      dst += count;
      depth -= count;
      first = 0;
      ++ky;
    }
  }

  // Elements [first, first + count) of a window row that is contiguous in the input, clipped to the image.
  void copy_span(const float* row, int64_t offset, int64_t first, int64_t count, float* dst) const {
    const int64_t begin = offset + first;
    const int64_t lo = min64(max64(-begin, 0), count);
    const int64_t hi = max64(min64(args.in_w * args.in_c - begin, count), lo);
    if (lo > 0) zero_floats(dst, lo);
    copy_floats(dst + lo, row + begin + lo, hi - lo);
    if (hi < count) zero_floats(dst + hi, count - hi);
  }

  // The same where only the channels of one tap are contiguous.
  void copy_taps(const float* row, int64_t left, int64_t channels, int64_t first, int64_t count, float* dst) const {
    int64_t kx = first / channels;
    int64_t channel = first - kx * channels;
    while (count > 0) {
      const int64_t piece = min64(channels - channel, count);
      const int64_t ix = left + kx * args.dilation_w;
      if (ix < 0 || ix >= args.in_w) {
        zero_floats(dst, piece);
      } else {
        copy_floats(dst, row + ix * args.in_c + channel, piece);
      }
      dst += piece;
      count -= piece;
      channel = 0;
      ++kx;
    }
  }
};

BLADE_NOINLINE inline int32_t conv2d_to(const BladeRal* ral, const ConvArgs& args, RowEpilogue epilogue) {
  const int64_t pixels = args.batch * args.out_h * args.out_w;
  if (pixels == 0 || args.out_c == 0) return BLADE_OK;
  const int64_t k = args.kernel_h * args.kernel_w * (args.in_c / args.groups);
  const int64_t n = args.out_c / args.groups;
  const Panels panels = packed_panels(args.weights_packed, k, packed_b_bytes(k, n) / 4);
  const Target target = target_of(RowMajorC{args.output, args.out_c, n});
  epilogue.batch_n = n;  // the GEMM's batches are groups
  const bool plain = args.groups == 1 && args.kernel_h == 1 && args.kernel_w == 1 && args.stride_h == 1 &&
                     args.stride_w == 1 && args.pad_top == 0 && args.pad_left == 0 && args.out_h == args.in_h &&
                     args.out_w == args.in_w;
  const RowMajorA rows = {args.input, args.in_c, 0};
  const ConvWindows windows = {args};
  multiply(ral, args.groups, pixels, n, k, plain ? source_of(rows) : source_of(windows), panels, target, epilogue);
  return BLADE_OK;
}

template <class Epilogue = NoEpilogue>
inline int32_t conv2d(const BladeRal* ral, const ConvArgs& args, const Epilogue& epilogue = Epilogue{}) {
  return conv2d_to(ral, args, epilogue_of(epilogue));
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_H_
