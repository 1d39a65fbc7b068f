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

#include "conv_args.h"
#include "conv_direct.h"
#include "gemm.h"

namespace blade {
namespace {

// Bytes of packed weights [kernel_h, kernel_w, in_c / groups, out_c].
inline int64_t packed_conv_bytes(int64_t kernel_h, int64_t kernel_w, int64_t group_in_c, int64_t out_c,
                                 int64_t groups) {
  return groups * packed_b_bytes(kernel_h * kernel_w * group_in_c, out_c / groups);
}

// Panels of kPanel output channels; in a panel chunks of up to kConvDepth input channels, in a chunk the kernel's
// positions.
inline void pack_conv_weights(const BladeRal* ral, const float* weights, int64_t kernel_h, int64_t kernel_w,
                              int64_t group_in_c, int64_t out_c, int64_t groups, float* dst) {
  const int64_t taps = kernel_h * kernel_w;
  const int64_t n = groups == 0 ? 0 : out_c / groups;
  const int64_t panels = ceil_div(n, kPanel);
  const int64_t chunk = ceil_div(group_in_c, conv_chunks(group_in_c));
  parallel_for(ral, groups * panels, taps * group_in_c * kPanel / 2, [=](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t column = panel % panels * kPanel;
      float* to = dst + panel * taps * group_in_c * kPanel;
      for (int64_t c = 0; c < group_in_c; c += chunk) {
        const int64_t depth = min64(chunk, group_in_c - c);
        for (int64_t t = 0; t < taps; ++t, to += depth * kPanel) {
          const float* from = weights + (t * group_in_c + c) * out_c + panel / panels * n + column;
          pack_panel(from, out_c, false, depth, min64(n - column, kPanel), to);
        }
      }
    }
  });
}

// The left operand of a convolution of one tap: row m is the input pixel of output pixel m, or zeros outside.
struct ConvPixels {
  const ConvArgs& args;

  void operator()(int64_t group, int64_t m, int64_t rows, int64_t k, int64_t depth, float* buffer) const {
    int64_t x = m % args.out_w;
    int64_t y = m / args.out_w % args.out_h;
    int64_t image = m / (args.out_w * args.out_h);
    const int64_t channel = group * (args.in_c / args.groups) + k;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t iy = y * args.stride_h - args.pad_top;
      const int64_t ix = x * args.stride_w - args.pad_left;
      if (iy < 0 || iy >= args.in_h || ix < 0 || ix >= args.in_w) {
        zero_floats(buffer + i * kRowStride, depth);
      } else {
        const float* pixel = args.input + ((image * args.in_h + iy) * args.in_w + ix) * args.in_c;
        copy_floats(buffer + i * kRowStride, pixel + channel, depth);
      }
      if (++x < args.out_w) continue;
      x = 0;
      if (++y < args.out_h) continue;
      y = 0;
      ++image;
    }
  }
};

// A convolution of one tap is a product of matrices.
BLADE_NOINLINE inline int32_t convolve_pointwise(const BladeRal* ral, const ConvArgs& args, RowEpilogue epilogue) {
  const int64_t pixels = args.batch * args.out_h * args.out_w;
  const int64_t k = args.in_c / args.groups;
  const int64_t n = args.out_c / args.groups;
  const Panels panels = packed_panels(args.weights_packed, k, packed_b_bytes(k, n) / 4);
  const Target target = target_of(RowMajorC{args.output, args.out_c, n});
  epilogue.batch_n = n;  // the GEMM's batches are groups
  const bool plain = args.groups == 1 && args.stride_h == 1 && args.stride_w == 1 && args.pad_top == 0 &&
                     args.pad_left == 0 && args.out_h == args.in_h && args.out_w == args.in_w;
  const RowMajorA rows = {args.input, args.in_c, 0};
  const ConvPixels picked = {args};
  multiply(ral, args.groups, pixels, n, k, plain ? source_of(rows) : source_of(picked), panels, target, epilogue);
  return BLADE_OK;
}

BLADE_NOINLINE inline int32_t conv2d_to(const BladeRal* ral, const ConvArgs& args, RowEpilogue epilogue) {
  if (args.batch * args.out_h * args.out_w == 0 || args.out_c == 0) return BLADE_OK;
  const bool pointwise = args.kernel_h == 1 && args.kernel_w == 1;
  return pointwise || args.in_c == 0 ? convolve_pointwise(ral, args, epilogue)
                                     : convolve_directly<0>(ral, args, epilogue);
}

template <class Epilogue = NoEpilogue>
inline int32_t conv2d(const BladeRal* ral, const ConvArgs& args, const Epilogue& epilogue = Epilogue{}) {
  return conv2d_to(ral, args, epilogue_of(epilogue));
}

// For few input channels: kPitch is args.stride_w * args.in_c, groups and dilation_w are 1.
template <int kPitch, class Epilogue = NoEpilogue>
inline int32_t conv2d_slim(const BladeRal* ral, const ConvArgs& args, const Epilogue& epilogue = Epilogue{}) {
  if (args.batch * args.out_h * args.out_w == 0 || args.out_c == 0) return BLADE_OK;
  return convolve_directly<kPitch>(ral, args, epilogue_of(epilogue));
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_H_
