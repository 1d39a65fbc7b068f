// float32 max and average pooling: TensorFlow's MaxPool and AvgPool with explicit pads.
//
//   max: output[b, y, x, c] = largest of the window's elements that lie in the image; -FLT_MAX when there is none or
//        none is larger, as TensorFlow's kernel starts from that value
//   avg: output[b, y, x, c] = their sum divided by their number (pads are not counted)
//   then epilogue(pixel, 0, channels, row)
//
// input: NHWC [batch, in_h, in_w, channels]. output: NHWC [batch, out_h, out_w, channels]; the caller computes out_h
// and out_w. Any extent may be 0. Epilogue: as in gemm.h, m = (b * out_h + y) * out_w + x.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_POOL_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_POOL_H_

#include "depthwise.h"

namespace blade {
namespace {

struct PoolArgs {
  int64_t batch = 0;
  int64_t in_h = 0;
  int64_t in_w = 0;
  int64_t channels = 0;
  int64_t out_h = 0;
  int64_t out_w = 0;
  int64_t window_h = 1;
  int64_t window_w = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t pad_top = 0;
  int64_t pad_left = 0;
  const float* input = nullptr;
  float* output = nullptr;
};

struct MaxPool {
  static constexpr float kInitial = -3.40282346638528859812e+38f;
  template <class T>
  static BLADE_ALWAYS_INLINE T add(T total, T x) {
    return x > total ? x : total;
  }
  static BLADE_ALWAYS_INLINE float divisor(float /*count*/) { return 1.0f; }
};

struct AvgPool {
  static constexpr float kInitial = 0.0f;
  template <class T>
  static BLADE_ALWAYS_INLINE T add(T total, T x) {
    return total + x;
  }
  static BLADE_ALWAYS_INLINE float divisor(float count) { return count; }
};

// Reduces a window of rows x taps pixels for the channels of one T (a vector or a float) at `in`.
template <class Kind, class T>
BLADE_ALWAYS_INLINE T pool_window(const float* in, int64_t rows, int64_t row_stride, int64_t taps, int64_t channels,
                                  T total) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < taps; ++j) {
      T x;
      memcpy(&x, in + i * row_stride + j * channels, sizeof(T));
      total = Kind::add(total, x);
    }
  }
  return total;
}

template <class Kind>
BLADE_NOINLINE void pool_pixel(const PoolArgs& args, const float* image, int64_t y, int64_t x, float* out) {
  const int64_t top = y * args.stride_h - args.pad_top;
  const int64_t left = x * args.stride_w - args.pad_left;
  const WindowRange h(top, args.window_h, 1, args.in_h);
  const WindowRange w(left, args.window_w, 1, args.in_w);
  const int64_t rows = h.last - h.first;
  const int64_t taps = w.last - w.first;
  const float divisor = Kind::divisor(static_cast<float>(rows * taps));
  const int64_t channels = args.channels;
  const int64_t row_stride = args.in_w * channels;
  // An empty window must not even form an address.
  const float* in = rows * taps == 0 ? image : image + (top + h.first) * row_stride + (left + w.first) * channels;
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    store(out + c, pool_window<Kind, Vec>(in + c, rows, row_stride, taps, channels, splat(Kind::kInitial)) / divisor);
  }
  for (; c < channels; ++c) {
    out[c] = pool_window<Kind, float>(in + c, rows, row_stride, taps, channels, Kind::kInitial) / divisor;
  }
}

// Kind: MaxPool or AvgPool.
template <class Kind, class Epilogue = NoEpilogue>
inline int32_t pool2d(const BladeRal* ral, const PoolArgs& args, const Epilogue& epilogue = Epilogue{}) {
  if (args.out_w == 0 || args.channels == 0) return BLADE_OK;
  auto work = [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const float* image = args.input + line / args.out_h * args.in_h * args.in_w * args.channels;
      for (int64_t x = 0; x < args.out_w; ++x) {
        const int64_t pixel = line * args.out_w + x;
        float* out = args.output + pixel * args.channels;
        pool_pixel<Kind>(args, image, line % args.out_h, x, out);
        epilogue(pixel, 0, args.channels, out);
      }
    }
  };
  const int64_t cost = args.out_w * args.channels * args.window_h * args.window_w / kLanes + 50;
  parallel_for(ral, args.batch * args.out_h, cost, work);
  return BLADE_OK;
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_POOL_H_
