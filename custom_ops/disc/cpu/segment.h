// Rows combined segment by segment; segments are runs of equal numbers in an ascending vector.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_SEGMENT_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_SEGMENT_H_

#include "fail.h"
#include "parallel.h"
#include "scalar.h"

namespace blade {
namespace {

struct SegmentSum {
  static constexpr int kEmpty = 0;
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T a, T b) {
    return fn_add(a, b);
  }
  template <class T>
  static BLADE_ALWAYS_INLINE T last(T total, int64_t) {
    return total;
  }
};
struct SegmentMean : SegmentSum {
  template <class T>
  static BLADE_ALWAYS_INLINE T last(T total, int64_t count) {
    return total / static_cast<T>(count);
  }
};
struct SegmentSqrtN : SegmentSum {
  template <class T>
  static BLADE_ALWAYS_INLINE T last(T total, int64_t count) {
    return total / fn_sqrt(static_cast<T>(count));
  }
};
struct SegmentProd : SegmentSum {
  static constexpr int kEmpty = 1;
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T a, T b) {
    return fn_mul(a, b);
  }
};
struct SegmentMax : SegmentSum {
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T a, T b) {
    return fn_maximum(a, b);
  }
};
struct SegmentMin : SegmentSum {
  template <class T>
  static BLADE_ALWAYS_INLINE T of(T a, T b) {
    return fn_minimum(a, b);
  }
};

// The number of segments, by the last one; segments without elements count.
template <class I>
BLADE_NOINLINE int32_t segment_rows(const BladeRal* ral, const I* ids, int64_t n, int64_t* rows) {
  int64_t before = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (static_cast<int64_t>(ids[i]) < before) return fail(ral, "segment ids are negative or do not ascend");
    before = static_cast<int64_t>(ids[i]);
  }
  *rows = n == 0 ? 0 : before + 1;
  return BLADE_OK;
}

// The first i with ids[i] >= row.
template <class I>
inline int64_t segment_begin(const I* ids, int64_t n, int64_t row) {
  int64_t low = 0;
  int64_t high = n;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (static_cast<int64_t>(ids[middle]) < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

struct SegmentRows {
  int64_t n;        // elements of ids
  int64_t columns;  // of each row
  int64_t limit;    // rows of data
  int64_t rows;     // of the result
};

// result[r] = combination of the rows data[places[i]] with ids[i] == r; data[i] itself without places.
template <class Combine, class T, class I, class P>
BLADE_NOINLINE void segment_reduce(const BladeRal* ral, const T* data, const I* ids, const P* places,
                                   const SegmentRows& size, T* result, int32_t* error) {
  const int64_t each = ceil_div(max64(size.n, 1), max64(size.rows, 1)) * size.columns / 4 + 10;
  parallel_for(ral, size.rows, each, [=](int64_t begin, int64_t end) {
    int64_t i = segment_begin(ids, size.n, begin);
    for (int64_t r = begin; r < end; ++r) {
      T* const to = result + r * size.columns;
      int64_t count = 0;
      for (; i < size.n && static_cast<int64_t>(ids[i]) == r; ++i) {
        const int64_t place = places == nullptr ? i : static_cast<int64_t>(places[i]);
        if (static_cast<uint64_t>(place) >= static_cast<uint64_t>(size.limit)) {
          set_error_flag(error);
          continue;
        }
        const T* const row = data + place * size.columns;
        if (count++ == 0) {
          for (int64_t j = 0; j < size.columns; ++j) to[j] = row[j];
        } else {
          for (int64_t j = 0; j < size.columns; ++j) to[j] = Combine::of(to[j], row[j]);
        }
      }
      if (count == 0) {
        for (int64_t j = 0; j < size.columns; ++j) to[j] = static_cast<T>(Combine::kEmpty);
      } else {
        for (int64_t j = 0; j < size.columns; ++j) to[j] = Combine::last(to[j], count);
      }
    }
  });
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_SEGMENT_H_
