// What all generated code includes: the scalar functions and small helpers; kernel templates come beside it as needed.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_RUNTIME_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_RUNTIME_H_

#include <stddef.h>
#include <stdint.h>

#include "../ral.h"
#include "lanes_math.h"
#include "parallel.h"
#include "scalar.h"
#include "special.h"

namespace blade {
namespace {

// --- dimensions: nothing here traps, whatever the inputs' dimensions are ---

// floor(a / b); 0 where b is 0.
BLADE_ALWAYS_INLINE int64_t floordiv(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return static_cast<int64_t>(0 - static_cast<uint64_t>(a));
  const int64_t q = a / b;
  return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
}

// a - b * floor(a / b); 0 where b is 0.
BLADE_ALWAYS_INLINE int64_t mod(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return 0;
  const int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// What dimensions a and b broadcast to.
BLADE_ALWAYS_INLINE int64_t bcast(int64_t a, int64_t b) { return a == 1 ? b : a; }

// Bytes of a buffer in the arena.
BLADE_ALWAYS_INLINE int64_t aligned(int64_t bytes) { return (bytes + 63) & ~int64_t{63}; }

// Where an arena's places begin: each where the highest of those below it ends. `below` has for each place how many
// these are and their numbers, which are smaller than its own. Gives the arena's size; -1 where that is beyond memory.
BLADE_NOINLINE inline int64_t stack_places(const int64_t* sizes, const int32_t* below, int64_t count,
                                           int64_t* offsets) {
  constexpr int64_t kMost = int64_t{1} << 62;
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) {
    int64_t begin = 0;
    for (int32_t left = *below++; left > 0; --left, ++below) {
      begin = max64(begin, offsets[*below] + aligned(sizes[*below]));
    }
    offsets[i] = begin;
    if (sizes[i] < 0 || sizes[i] > kMost || begin > kMost) return -1;
    total = max64(total, begin + aligned(sizes[i]));
  }
  return total;
}

// --- indices ---

// An index that came from a tensor; out of range sets the call's error flag, and 0 is read instead.
template <class T>
BLADE_ALWAYS_INLINE int64_t checked_index(T index, int64_t limit, int32_t* error) {
  const int64_t wide = static_cast<int64_t>(index);
  if (__builtin_expect(static_cast<uint64_t>(wide) >= static_cast<uint64_t>(limit), 0)) {
    set_error_flag(error);
    return 0;
  }
  return wide;
}

// Announces that the first kBytes of a table's row will be read, if `numbers` has a place `at`. The number may be out
// of range: nothing is read there.
template <int kBytes, class T, class I>
BLADE_ALWAYS_INLINE void expect_row(const T* table, int64_t width, const I* numbers, int64_t at, int64_t count) {
  if (static_cast<uint64_t>(at) >= static_cast<uint64_t>(count)) return;
  const uint64_t offset = static_cast<uint64_t>(numbers[at]) * static_cast<uint64_t>(width) * sizeof(T);
  const uint64_t row = reinterpret_cast<uintptr_t>(table) + offset;
  for (int n = 0; n < kBytes; n += 64) expect_read(reinterpret_cast<const void*>(row + static_cast<uint64_t>(n)));
}

// Where padding by mirrors reads: `index` counts from the first element of the operand, which has `size` of them.
// The loops end because each mirror moves the index nearer.
BLADE_ALWAYS_INLINE int64_t mirror_reflect(int64_t index, int64_t size) {
  if (size <= 1) return 0;
  while (static_cast<uint64_t>(index) >= static_cast<uint64_t>(size)) {
    index = index < 0 ? -index : 2 * (size - 1) - index;
  }
  return index;
}
BLADE_ALWAYS_INLINE int64_t mirror_symmetric(int64_t index, int64_t size) {
  if (size <= 0) return 0;
  while (static_cast<uint64_t>(index) >= static_cast<uint64_t>(size)) {
    index = index < 0 ? -1 - index : 2 * size - 1 - index;
  }
  return index;
}

// --- resizing, in float32 like TensorFlow's image_resizer_state.h ---

struct ResizeAxis {
  float scale;
  int64_t size_in;
  bool align_corners;
  bool half_pixel_centers;
};

inline ResizeAxis resize_axis(int64_t size_in, int64_t size_out, bool align_corners, bool half_pixel_centers) {
  const float scale = align_corners && size_out > 1
                          ? static_cast<float>(size_in - 1) / static_cast<float>(size_out - 1)
                          : static_cast<float>(size_in) / static_cast<float>(max64(size_out, 1));
  return {scale, size_in, align_corners, half_pixel_centers};
}

// The products below are rounded before what follows, as TensorFlow's are: a fused multiply-add would be another
// result.
BLADE_ALWAYS_INLINE float rounded(float x) {
  asm("" : "+x"(x));
  return x;
}

BLADE_ALWAYS_INLINE int64_t resize_nearest(const ResizeAxis& axis, int64_t i) {
  const float position = static_cast<float>(i);
  if (axis.half_pixel_centers) {
    const float source = math::floor((position + 0.5f) * axis.scale);
    return max64(min64(static_cast<int64_t>(source), axis.size_in - 1), 0);
  }
  const float scaled = rounded(position * axis.scale);
  const float source = axis.align_corners ? math::floor(scaled + 0.5f) : math::floor(scaled);
  return max64(min64(static_cast<int64_t>(source), axis.size_in - 1), 0);
}

BLADE_ALWAYS_INLINE float resize_source(const ResizeAxis& axis, int64_t i) {
  const float position = static_cast<float>(i);
  if (axis.half_pixel_centers) return rounded((position + 0.5f) * axis.scale) - 0.5f;
  return position * axis.scale;
}
BLADE_ALWAYS_INLINE int64_t resize_lower(const ResizeAxis& axis, int64_t i) {
  return max64(static_cast<int64_t>(math::floor(resize_source(axis, i))), 0);
}
BLADE_ALWAYS_INLINE int64_t resize_upper(const ResizeAxis& axis, int64_t i) {
  return max64(min64(static_cast<int64_t>(math::ceil(resize_source(axis, i))), axis.size_in - 1), 0);
}
BLADE_ALWAYS_INLINE float resize_weight(const ResizeAxis& axis, int64_t i) {
  const float source = rounded(resize_source(axis, i));
  return source - math::floor(source);
}

// --- reductions ---

// Combines kLanes accumulators as a tree: lane i with lane i + kLanes / 2, and so on.
template <class Op, int kLanes, class T>
BLADE_ALWAYS_INLINE T fold(T* lanes) {
  if constexpr (kLanes == 1) {
    return lanes[0];
  } else if constexpr (kLanes <= 4) {
    for (int i = 0; i < kLanes / 2; ++i) lanes[i] = Op::of(lanes[i], lanes[i + kLanes / 2]);
    return fold<Op, kLanes / 2>(lanes);
  } else {
    // Compilers unroll the loop before they vectorize it, into a slow chain of comparisons.
    typedef T Half __attribute__((vector_size(sizeof(T) * (kLanes / 2)), aligned(sizeof(T)), may_alias));
    Half* halves = reinterpret_cast<Half*>(lanes);
    halves[0] = Op::of(halves[0], halves[1]);
    return fold<Op, kLanes / 2>(lanes);
  }
}

// Copies bytes, in parallel where there are many.
inline void copy(const BladeRal* ral, void* to, const void* from, int64_t bytes) {
  constexpr int64_t kBlock = 1 << 16;
  parallel_for(ral, ceil_div(bytes, kBlock), kBlock / 10, [=](int64_t begin, int64_t end) {
    const int64_t first = begin * kBlock;
    const int64_t last = min64(end * kBlock, bytes);
    memcpy(static_cast<char*>(to) + first, static_cast<const char*>(from) + first, static_cast<size_t>(last - first));
  });
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_RUNTIME_H_
