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

#include "conv.h"

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

// One kernel row's sums for COLS neighbouring output pixels whose windows hold the same taps, and kLanes channels.
// `input` points at the first tap of the first pixel.
template <int COLS>
BLADE_ALWAYS_INLINE void depthwise_row(const float* input, int64_t pixel_stride, int64_t tap_stride,
                                       const float* weights, int64_t channels, int64_t taps, Vec* sums) {
  for (int64_t t = 0; t < taps; ++t) {
    const Vec w = load(weights + t * channels);
#pragma GCC unroll 8
    for (int i = 0; i < COLS; ++i) sums[i] = fma(load(input + i * pixel_stride + t * tap_stride), w, sums[i]);
  }
}

// COLS neighbouring output pixels, all channels (at least kLanes of them): the last vector overlaps the one before it.
template <int COLS>
BLADE_NOINLINE void depthwise_pixels(const ConvArgs& args, const float* image, int64_t y, int64_t x, float* out) {
  const int64_t channels = args.in_c;
  const int64_t top = y * args.stride_h - args.pad_top;
  const int64_t left = x * args.stride_w - args.pad_left;
  const WindowRange rows(top, args.kernel_h, args.dilation_h, args.in_h);
  const WindowRange taps(left, args.kernel_w, args.dilation_w, args.in_w);
  const int64_t pixel_stride = args.stride_w * channels;
  for (int64_t next = 0; next < channels; next += kLanes) {
    const int64_t c = min64(next, channels - kLanes);
    Vec sums[COLS];
#pragma GCC unroll 8
    for (int i = 0; i < COLS; ++i) sums[i] = Vec{};
    for (int64_t ky = rows.first; ky < rows.last; ++ky) {
      const int64_t iy = top + ky * args.dilation_h;
      const int64_t ix = left + taps.first * args.dilation_w;
      depthwise_row<COLS>(image + (iy * args.in_w + ix) * channels + c, pixel_stride, args.dilation_w * channels,
                          args.weights_packed + (ky * args.kernel_w + taps.first) * channels + c, channels,
                          taps.last - taps.first, sums);
    }
#pragma GCC unroll 8
    for (int i = 0; i < COLS; ++i) store(out + i * channels + c, sums[i]);
  }
}

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

// One row of output pixels.
BLADE_NOINLINE inline void depthwise_line(const ConvArgs& args, const float* image, int64_t y, float* out) {
  if (args.in_c < kLanes || args.out_c != args.in_c) {
    for (int64_t x = 0; x < args.out_w; ++x) depthwise_pixel_any(args, image, y, x, out + x * args.out_c);
    return;
  }
  // Windows of the columns [inner, outer) lie inside the image from left to right.
  const int64_t inner = min64(ceil_div(max64(args.pad_left, 0), args.stride_w), args.out_w);
  const int64_t reach = args.in_w - (args.kernel_w - 1) * args.dilation_w + args.pad_left;
  const int64_t outer = reach <= 0 ? 0 : min64(ceil_div(reach, args.stride_w), args.out_w);
  int64_t x = 0;
  while (x < args.out_w) {
    float* row = out + x * args.out_c;
    if (x >= inner && x + 8 <= outer) {
      depthwise_pixels<8>(args, image, y, x, row);
      x += 8;
    } else if (x >= inner && x + 4 <= outer) {
      depthwise_pixels<4>(args, image, y, x, row);
      x += 4;
    } else {
      depthwise_pixels<1>(args, image, y, x, row);
      ++x;
    }
  }
}

template <class Epilogue = NoEpilogue>
inline int32_t depthwise_conv2d(const BladeRal* ral, const ConvArgs& args, const Epilogue& epilogue = Epilogue{}) {
  if (args.out_w == 0 || args.out_c == 0) return BLADE_OK;
  auto work = [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const float* image = args.input + line / args.out_h * args.in_h * args.in_w * args.in_c;
      float* out = args.output + line * args.out_w * args.out_c;
      depthwise_line(args, image, line % args.out_h, out);
      for (int64_t x = 0; x < args.out_w; ++x) epilogue(line * args.out_w + x, 0, args.out_c, out + x * args.out_c);
    }
  };
  const int64_t cost = args.out_w * args.out_c * args.kernel_h * args.kernel_w / kLanes + 50;
  parallel_for(ral, args.batch * args.out_h, cost, work);
  return BLADE_OK;
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_DEPTHWISE_H_
