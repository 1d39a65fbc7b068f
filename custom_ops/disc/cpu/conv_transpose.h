// float32 transposed convolution: TensorFlow's Conv2DBackpropInput, the gradient of Conv2D with regard to its input.
//
//   output[b, y, x, o] = sum over iy, ix, ky, kx, c with  iy * stride_h + ky * dilation_h == y + pad_top  and
//       ix * stride_w + kx * dilation_w == x + pad_left  of  input[b, iy, ix, c] * weights[ky, kx, o, c],
//   then epilogue(pixel, n_begin, n_end, row)
//
// input: NHWC [batch, in_h, in_w, in_c] (the "out_backprop" operand). weights: [kernel_h, kernel_w, out_c, in_c], as
// TensorFlow stores them, packed once by pack_conv_transpose_weights. output: NHWC [batch, out_h, out_w, out_c].
// Output pixels with the same (y + pad_top) mod stride_h and (x + pad_left) mod stride_w meet the same taps: each such
// phase is a convolution of stride 1, done as implicit GEMM. Any extent may be 0.
// Epilogue: as in gemm.h, m = (b * out_h + y) * out_w + x and n the output channel.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_TRANSPOSE_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_TRANSPOSE_H_

#include "conv.h"

namespace blade {
namespace {

// One axis of a phase: output positions first_out + j * stride for j < outs; tap t < taps is kernel position
// first_tap + t * tap_step and meets input position in_base + j - t * in_step.
struct PhaseAxis {
  int64_t first_out;
  int64_t outs;
  int64_t taps;
  int64_t first_tap;
  int64_t tap_step;
  int64_t in_base;
  int64_t in_step;

  PhaseAxis(int64_t phase, int64_t out, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad) {
    first_out = ((phase - pad) % stride + stride) % stride;
    outs = first_out < out ? ceil_div(out - first_out, stride) : 0;
    first_tap = 0;
    while (first_tap < stride && first_tap * dilation % stride != phase) ++first_tap;
    tap_step = 1;
    while (tap_step * dilation % stride != 0) ++tap_step;
    const bool any = first_tap < stride && first_tap < kernel;
    taps = any ? ceil_div(kernel - first_tap, tap_step) : 0;
    in_base = any ? (first_out + pad - first_tap * dilation) / stride : 0;
    in_step = tap_step * dilation / stride;
  }
};

inline PhaseAxis rows_of_phase(const ConvArgs& args, int64_t phase) {
  return {phase, args.out_h, args.kernel_h, args.stride_h, args.dilation_h, args.pad_top};
}
inline PhaseAxis columns_of_phase(const ConvArgs& args, int64_t phase) {
  return {phase, args.out_w, args.kernel_w, args.stride_w, args.dilation_w, args.pad_left};
}

inline int64_t packed_conv_transpose_bytes(int64_t kernel_h, int64_t kernel_w, int64_t in_c, int64_t out_c) {
  return packed_b_bytes(kernel_h * kernel_w * in_c, out_c);
}

// Packs weights [kernel_h, kernel_w, out_c, in_c]; of args only channels, kernel, strides, dilations and pads are
// looked at. Which taps make a phase does not depend on the pads.
inline void pack_conv_transpose_weights(const ConvArgs& args, const float* weights, float* dst) {
  const int64_t panels = ceil_div(args.out_c, kPanel);
  for (int64_t phase = 0; phase < args.stride_h * args.stride_w; ++phase) {
    const PhaseAxis rows = rows_of_phase(args, phase / args.stride_w);
    const PhaseAxis columns = columns_of_phase(args, phase % args.stride_w);
    const int64_t taps = rows.taps * columns.taps;
    for (int64_t p = 0; p < panels; ++p) {
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t ky = rows.first_tap + t / columns.taps * rows.tap_step;
        const int64_t kx = columns.first_tap + t % columns.taps * columns.tap_step;
        const float* tap = weights + (ky * args.kernel_w + kx) * args.out_c * args.in_c;
        pack_panel(tap + p * kPanel * args.in_c, args.in_c, true, args.in_c, min64(args.out_c - p * kPanel, kPanel),
                   dst + (p * taps + t) * args.in_c * kPanel);
      }
    }
    dst += panels * taps * args.in_c * kPanel;
  }
}

// The left operand, destination and epilogue of one phase. Row m is output position (image, j_y, j_x).
struct Phase {
  const ConvArgs& args;
  PhaseAxis rows;
  PhaseAxis columns;

  // The output pixel of row m.
  int64_t pixel(int64_t m) const {
    const int64_t x = columns.first_out + m % columns.outs * args.stride_w;
    const int64_t y = rows.first_out + m / columns.outs % rows.outs * args.stride_h;
    return (m / (columns.outs * rows.outs) * args.out_h + y) * args.out_w + x;
  }

  void operator()(int64_t /*batch*/, int64_t m, int64_t count, int64_t k, int64_t depth, float* buffer) const {
    for (int64_t i = m; i < m + count; ++i) {
      const int64_t x = i % columns.outs;
      const int64_t y = i / columns.outs % rows.outs;
      copy_window(i / (columns.outs * rows.outs), y, x, k, depth, buffer + (i - m) * kRowStride);
    }
  }

 private:
  void copy_window(int64_t image, int64_t y, int64_t x, int64_t k, int64_t depth, float* dst) const {
    int64_t tap = k / args.in_c;
    int64_t channel = k - tap * args.in_c;
    while (depth > 0) {
      const int64_t piece = min64(args.in_c - channel, depth);
      const int64_t iy = rows.in_base + y - tap / columns.taps * rows.in_step;
      const int64_t ix = columns.in_base + x - tap % columns.taps * columns.in_step;
      if (iy < 0 || iy >= args.in_h || ix < 0 || ix >= args.in_w) {
        zero_floats(dst, piece);
      } else {
        copy_floats(dst, args.input + ((image * args.in_h + iy) * args.in_w + ix) * args.in_c + channel, piece);
      }
      dst += piece;
      depth -= piece;
      channel = 0;
      ++tap;
    }
  }
};

struct PhaseC {
  const Phase& phase;
  float* operator()(int64_t /*batch*/, int64_t m, int64_t n) const {
    return phase.args.output + phase.pixel(m) * phase.args.out_c + n;
  }
  int64_t run() const { return kNoLimit; }
};

struct PhaseEpilogue {
  const Phase& phase;
  const RowEpilogue& inner;
  void operator()(int64_t m, int64_t n_begin, int64_t n_end, float* c) const {
    inner.apply(inner.self, phase.pixel(m), n_begin, n_end, c);
  }
};

BLADE_NOINLINE inline int32_t conv2d_transpose_to(const BladeRal* ral, const ConvArgs& args,
                                                  const RowEpilogue& epilogue) {
  if (args.batch == 0 || args.out_h == 0 || args.out_w == 0 || args.out_c == 0) return BLADE_OK;
  const float* packed = args.weights_packed;
  for (int64_t index = 0; index < args.stride_h * args.stride_w; ++index) {
    const Phase phase = {args, rows_of_phase(args, index / args.stride_w),
                         columns_of_phase(args, index % args.stride_w)};
    const int64_t k = phase.rows.taps * phase.columns.taps * args.in_c;
    const int64_t m = args.batch * phase.rows.outs * phase.columns.outs;
    const PhaseC target = {phase};
    const PhaseEpilogue pixels = {phase, epilogue};
    multiply(ral, 1, m, args.out_c, k, source_of(phase), packed_panels(packed, k, 0), target_of(target),
             epilogue.apply == nullptr ? epilogue : epilogue_of(pixels));
    packed += packed_b_bytes(k, args.out_c) / 4;
  }
  return BLADE_OK;
}

// args.groups must be 1; args.weights_packed comes from pack_conv_transpose_weights with the same geometry.
template <class Epilogue = NoEpilogue>
inline int32_t conv2d_transpose(const BladeRal* ral, const ConvArgs& args, const Epilogue& epilogue = Epilogue{}) {
  return conv2d_transpose_to(ral, args, epilogue_of(epilogue));
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_TRANSPOSE_H_
