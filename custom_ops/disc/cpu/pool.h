// float32 max and average pooling: TensorFlow's MaxPool and AvgPool with explicit pads.
//
//   max: output[b, y, x, c] = largest of the window's elements that lie in the image, NaNs left out; -FLT_MAX when none
//        is larger, as TensorFlow's kernel starts from that value
//   avg: output[b, y, x, c] = their sum divided by their number (pads are not counted)
//   With zero_pads, what lies outside the image takes part as zeros instead.
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
  bool zero_pads = false;
  const float* input = nullptr;
  float* output = nullptr;
};

struct MaxPool {
  // The result of a window that holds nothing, or nothing but zeros that lie outside the image.
  static BLADE_ALWAYS_INLINE float initial(bool zeros) { return zeros ? 0.0f : -3.40282346638528859812e+38f; }
  static BLADE_ALWAYS_INLINE Vec add(Vec total, Vec x) { return max(x, total); }
  static BLADE_ALWAYS_INLINE float add(float total, float x) { return x > total ? x : total; }
  static BLADE_ALWAYS_INLINE float divisor(float /*count*/) { return 1.0f; }
};

struct AvgPool {
  static BLADE_ALWAYS_INLINE float initial(bool /*zeros*/) { return 0.0f; }
  template <class T>
  static BLADE_ALWAYS_INLINE T add(T total, T x) {
    return total + x;
  }
  static BLADE_ALWAYS_INLINE float divisor(float count) { return count; }
};

// A window: rows x taps pixels that all lie in the image; `in` is the first one.
struct PoolWindow {
  const float* in;
  int64_t rows;
  int64_t row_stride;
  int64_t taps;
  int64_t channels;
  float initial;
  float divisor;
};

// Reduces a window for COUNT vectors of channels from c on.
template <class Kind, int COUNT>
BLADE_ALWAYS_INLINE void pool_vectors(const PoolWindow& window, int64_t c, float* out) {
  Vec totals[COUNT];
#pragma GCC unroll 4
  for (int v = 0; v < COUNT; ++v) totals[v] = splat(window.initial);
  for (int64_t i = 0; i < window.rows; ++i) {
    const float* in = window.in + i * window.row_stride + c;
    for (int64_t j = 0; j < window.taps; ++j) {
#pragma GCC unroll 4
      for (int v = 0; v < COUNT; ++v) totals[v] = Kind::add(totals[v], load(in + v * kLanes));
      in += window.channels;
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < COUNT; ++v) store(out + c + v * kLanes, totals[v] / window.divisor);
}

template <class Kind>
inline float pool_channel(const PoolWindow& window, int64_t c) {
  float total = window.initial;
  for (int64_t i = 0; i < window.rows; ++i) {
    for (int64_t j = 0; j < window.taps; ++j) {
      total = Kind::add(total, window.in[i * window.row_stride + j * window.channels + c]);
    }
  }
  return total / window.divisor;
}

template <class Kind>
BLADE_NOINLINE void pool_pixel(const PoolArgs& args, const float* image, int64_t y, int64_t x, float* out) {
  const int64_t top = y * args.stride_h - args.pad_top;
  const int64_t left = x * args.stride_w - args.pad_left;
  const WindowRange h(top, args.window_h, 1, args.in_h);
  const WindowRange w(left, args.window_w, 1, args.in_w);
  const int64_t rows = h.last - h.first;
  const int64_t taps = w.last - w.first;
  const int64_t size = args.window_h * args.window_w;
  const float divisor = Kind::divisor(static_cast<float>(args.zero_pads ? size : rows * taps));
  const float initial = Kind::initial(args.zero_pads && rows * taps < size);
  const int64_t channels = args.channels;
  const int64_t row_stride = args.in_w * channels;
  // An empty window must not even form an address.
  const float* in = rows * taps == 0 ? image : image + (top + h.first) * row_stride + (left + w.first) * channels;
  const PoolWindow window = {in, rows, row_stride, taps, channels, initial, divisor};
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) pool_vectors<Kind, 4>(window, c, out);
  for (; c + kLanes <= channels; c += kLanes) pool_vectors<Kind, 1>(window, c, out);
  for (; c < channels; ++c) out[c] = pool_channel<Kind>(window, c);
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
