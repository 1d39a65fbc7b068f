// Ops with an algorithm of their own: cumulative sums, arg max, top k, scatter.
//
// Pointers are to storage types (bool as uint8_t). Results do not depend on the number of threads.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_SPECIAL_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_SPECIAL_H_

#include "parallel.h"
#include "scalar.h"

namespace blade {
namespace {

struct Add {
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T a, T b) {
    return fn_add(a, b);
  }
  template <class T>
  static BLADE_ALWAYS_INLINE T identity() {
    return static_cast<T>(0);
  }
};
struct Multiply {
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T a, T b) {
    return fn_mul(a, b);
  }
  template <class T>
  static BLADE_ALWAYS_INLINE T identity() {
    return static_cast<T>(1);
  }
};
struct Subtract {
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T a, T b) {
    return fn_sub(a, b);
  }
};
struct Largest {
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T a, T b) {
    return fn_maximum(a, b);
  }
};
struct Smallest {
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T a, T b) {
    return fn_minimum(a, b);
  }
};
// log(exp(a) + exp(b)), of half types in float.
struct LogSumExp {
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T a, T b) {
    if constexpr (IsHalf<T>::value) {
      return fn_convert<T>(of(to_float(a), to_float(b)));
    } else {
      const T larger = fn_maximum(a, b);
      const T smaller = fn_minimum(a, b);
      return fn_is_finite(larger) ? larger + fn_log1p(fn_exp(smaller - larger)) : larger;
    }
  }
  template <class T>
  static BLADE_ALWAYS_INLINE T identity() {
    return fn_convert<T>(-math::Limits<float>::kInf);
  }
};
struct Replace {
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T, T b) {
    return b;
  }
};

// y[o][i][n] = combination of x[o][0 .. i][n] (exclusive: without i; reverse: from the end).
template <class T, class Combine>
BLADE_NOINLINE void cumulative(const BladeRal* ral, const T* x, T* y, int64_t outer, int64_t length, int64_t inner,
                               bool exclusive, bool reverse) {
  constexpr int64_t kColumns = 256;
  const int64_t blocks = ceil_div(inner, kColumns);
  parallel_for(ral, outer * blocks, length * min64(inner, kColumns), [=](int64_t begin, int64_t end) {
    T totals[kColumns];
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit % blocks * kColumns;
      const int64_t columns = min64(kColumns, inner - first);
      const int64_t base = unit / blocks * length * inner + first;
      for (int64_t j = 0; j < columns; ++j) totals[j] = Combine::template identity<T>();
      for (int64_t i = 0; i < length; ++i) {
        const int64_t row = base + (reverse ? length - 1 - i : i) * inner;
        for (int64_t j = 0; j < columns; ++j) {
          const T next = Combine::of(totals[j], x[row + j]);
          y[row + j] = exclusive ? totals[j] : next;
          totals[j] = next;
        }
      }
    }
  });
}

template <class T>
BLADE_ALWAYS_INLINE bool is_nan(T x) {
  if constexpr (IsFloat<T>::value) {
    return fn_is_nan(x);
  } else {
    return false;
  }
}
template <class T>
BLADE_ALWAYS_INLINE bool is_infinite(T x) {
  if constexpr (IsFloat<T>::value) {
    return fn_is_inf(x);
  } else {
    return false;
  }
}

// Whether a takes the place of b, the best so far. As in TensorFlow NaN counts as the worst of all, like the infinity
// at that end; being the first it is the best until something is better.
struct Greater {
  template <class T>
  static BLADE_ALWAYS_INLINE bool of(T a, T b) {
    return fn_greater(a, b) || (is_nan(b) && !is_nan(a) && !(is_infinite(a) && fn_less(a, fn_convert<T>(0))));
  }
};
struct Less {
  template <class T>
  static BLADE_ALWAYS_INLINE bool of(T a, T b) {
    return fn_less(a, b) || (is_nan(b) && !is_nan(a) && !(is_infinite(a) && fn_greater(a, fn_convert<T>(0))));
  }
};

// y[o][n] = the first i whose x[o][i][n] is the best of all.
template <class Before, class T, class I>
BLADE_NOINLINE void arg_reduce(const BladeRal* ral, const T* x, I* y, int64_t outer, int64_t length, int64_t inner) {
  parallel_for(ral, outer * inner, length, [=](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const T* line = x + unit / inner * length * inner + unit % inner;
      int64_t best = 0;
      for (int64_t i = 1; i < length; ++i) {
        if (Before::of(line[i * inner], line[best * inner])) best = i;
      }
      y[unit] = static_cast<I>(best);
    }
  });
}

// Whether element a of a row comes before element b: larger ones first, then lower indices. NaN comes last.
template <class T>
BLADE_ALWAYS_INLINE bool ranks_before(const T* row, int64_t a, int64_t b) {
  if (fn_greater(row[a], row[b])) return true;
  if (fn_greater(row[b], row[a])) return false;
  const bool nan_a = is_nan(row[a]);
  const bool nan_b = is_nan(row[b]);
  return nan_a != nan_b ? nan_b : a < b;
}

// Moves heap[root] down until its children all rank before it: the worst of the heap is at its root.
template <class T>
inline void sift_down(const T* row, int64_t* heap, int64_t root, int64_t size) {
  for (;;) {
    int64_t child = 2 * root + 1;
    if (child >= size) return;
    if (child + 1 < size && ranks_before(row, heap[child], heap[child + 1])) ++child;
    if (!ranks_before(row, heap[root], heap[child])) return;
    const int64_t moved = heap[root];
    heap[root] = heap[child];
    heap[child] = moved;
    root = child;
  }
}

// The k first of each row in descending order, and their indices.
template <class T, class I>
BLADE_NOINLINE int32_t topk(const BladeRal* ral, const T* x, T* values, I* indices, int64_t rows, int64_t length,
                            int64_t k) {
  if (rows <= 0 || k <= 0) return BLADE_OK;
  Scratch scratch(ral);
  int64_t* heaps = static_cast<int64_t*>(scratch.allocate(rows * k * static_cast<int64_t>(sizeof(int64_t))));
  if (heaps == nullptr) return BLADE_NO_MEMORY;
  parallel_for(ral, rows, length * 4 + k * 40, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * length;
      int64_t* heap = heaps + r * k;
      for (int64_t i = 0; i < k; ++i) heap[i] = i;
      for (int64_t i = k / 2 - 1; i >= 0; --i) sift_down(row, heap, i, k);
      for (int64_t i = k; i < length; ++i) {
        if (!ranks_before(row, i, heap[0])) continue;
        heap[0] = i;
        sift_down(row, heap, 0, k);
      }
      for (int64_t size = k - 1; size >= 0; --size) {
        values[r * k + size] = row[heap[0]];
        indices[r * k + size] = static_cast<I>(heap[0]);
        heap[0] = heap[size];
        sift_down(row, heap, 0, size);
      }
    }
  });
  return BLADE_OK;
}

// result = x, then for each row of updates in order: result[indices[row]] combined with it. Parallel over the columns
// of rows, so that updates of one place keep their order.
template <class Combine, class S, class I>
BLADE_NOINLINE void scatter(const BladeRal* ral, const S* x, const I* indices, const S* updates, S* result,
                            int64_t depth, const int64_t* limits, int64_t rows, int64_t columns, int64_t total,
                            int32_t* error) {
  memcpy(result, x, static_cast<size_t>(total) * sizeof(S));
  constexpr int64_t kColumns = 256;
  parallel_for(ral, ceil_div(columns, kColumns), rows * kColumns / 8, [=](int64_t begin, int64_t end) {
    const int64_t first = begin * kColumns;
    const int64_t last = min64(end * kColumns, columns);
    for (int64_t r = 0; r < rows; ++r) {
      int64_t place = 0;
      bool inside = true;
      for (int64_t i = 0; i < depth; ++i) {
        const int64_t index = static_cast<int64_t>(indices[r * depth + i]);
        inside = inside && static_cast<uint64_t>(index) < static_cast<uint64_t>(limits[i]);
        place = place * limits[i] + index;
      }
      if (!inside) {
        set_error_flag(error);
        continue;
      }
      for (int64_t j = first; j < last; ++j) {
        S* target = result + place * columns + j;
        *target = Combine::of(*target, updates[r * columns + j]);
      }
    }
  });
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_SPECIAL_H_
