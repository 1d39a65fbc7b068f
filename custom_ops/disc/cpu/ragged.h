// Rows of different lengths, one behind the other: `splits` says where each begins and, at its end, where the last
// ends.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_RAGGED_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_RAGGED_H_

#include "fail.h"
#include "parallel.h"
#include "scalar.h"

namespace blade {
namespace {

// Whether splits ascend from 0 to the number of values; gives the longest row.
template <class S>
BLADE_NOINLINE int32_t ragged_check(const BladeRal* ral, const S* splits, int64_t rows, int64_t values,
                                    int64_t* longest) {
  *longest = 0;
  if (rows < 0 || splits[0] != 0) return fail(ral, "row splits do not begin with 0");
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t length = static_cast<int64_t>(splits[r + 1]) - static_cast<int64_t>(splits[r]);
    if (length < 0) return fail(ral, "row splits do not ascend");
    *longest = max64(*longest, length);
  }
  if (static_cast<int64_t>(splits[rows]) != values) return fail(ral, "row splits do not end with the number of values");
  return BLADE_OK;
}

// How many steps of `delta` lead from start to limit.
template <class T>
inline int64_t range_size(T start, T limit, T delta) {
  if ((delta > 0 && limit < start) || (delta < 0 && limit > start)) return 0;
  if constexpr (IsFloat<T>::value) {
    const T steps = (limit - start) / delta;
    return static_cast<int64_t>(fn_ceil(steps < 0 ? -steps : steps));
  } else {
    const int64_t distance = static_cast<int64_t>(limit) - static_cast<int64_t>(start);
    const int64_t step = static_cast<int64_t>(delta);
    return ((distance < 0 ? -distance : distance) + (step < 0 ? -step : step) - 1) / (step < 0 ? -step : step);
  }
}

// splits of the rows [starts[r], limits[r]) by deltas[r]; gives the number of all values.
template <class T, class S>
BLADE_NOINLINE int32_t ragged_range_splits(const BladeRal* ral, const T* starts, const T* limits, const T* deltas,
                                           int64_t rows, S* splits, int64_t* total) {
  *total = 0;
  splits[0] = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (deltas[r] == 0) return fail(ral, "a range with steps of 0");
    const int64_t size = range_size(starts[r], limits[r], deltas[r]);
    if (size < 0 || __builtin_add_overflow(*total, size, total)) return fail(ral, "a range is too large");
    splits[r + 1] = static_cast<S>(*total);
    if (static_cast<int64_t>(splits[r + 1]) != *total) return fail(ral, "too many values for the splits' type");
  }
  return BLADE_OK;
}

template <class T, class S>
BLADE_NOINLINE void ragged_range_fill(const T* starts, const T* deltas, int64_t rows, const S* splits, T* values) {
  for (int64_t r = 0; r < rows; ++r) {
    T value = starts[r];
    for (int64_t i = static_cast<int64_t>(splits[r]); i < static_cast<int64_t>(splits[r + 1]); ++i) {
      values[i] = value;
      value = static_cast<T>(value + deltas[r]);
    }
  }
}

// result [rows, columns, inner]: row by row its values, then `missing`; what is too long is cut off, rows beyond the
// last are missing. Elements are integers of their size.
template <class T, class S>
BLADE_NOINLINE void ragged_to_dense(const BladeRal* ral, const T* values, const S* splits, int64_t given, T missing,
                                    T* result, int64_t rows, int64_t columns, int64_t inner) {
  parallel_for(ral, rows, columns * inner / 4 + 10, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* to = result + r * columns * inner;
      int64_t length = 0;
      if (r < given) {
        const int64_t first = static_cast<int64_t>(splits[r]);
        length = min64(static_cast<int64_t>(splits[r + 1]) - first, columns) * inner;
        memcpy(to, values + first * inner, static_cast<size_t>(length) * sizeof(T));
      }
      for (int64_t i = length; i < columns * inner; ++i) to[i] = missing;
    }
  });
}

// indices [values, 2] of the values in a matrix.
template <class S>
BLADE_NOINLINE void ragged_indices(const S* splits, int64_t rows, int64_t* indices) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t first = static_cast<int64_t>(splits[r]);
    for (int64_t i = first; i < static_cast<int64_t>(splits[r + 1]); ++i) {
      indices[2 * i] = r;
      indices[2 * i + 1] = i - first;
    }
  }
}

// splits of the rows that `places` names; gives the number of their values.
template <class S, class I>
BLADE_NOINLINE int32_t ragged_gather_splits(const BladeRal* ral, const S* splits, int64_t rows, const I* places,
                                            int64_t n, S* result, int64_t* total) {
  *total = 0;
  result[0] = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t place = static_cast<int64_t>(places[i]);
    if (static_cast<uint64_t>(place) >= static_cast<uint64_t>(rows)) return fail(ral, "a row's index is out of range");
    *total += static_cast<int64_t>(splits[place + 1]) - static_cast<int64_t>(splits[place]);
    result[i + 1] = static_cast<S>(*total);
  }
  return BLADE_OK;
}

template <class S, class I>
BLADE_NOINLINE void ragged_gather_fill(const void* values, const S* splits, const I* places, int64_t n, int64_t bytes,
                                       void* result) {
  char* to = static_cast<char*>(result);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t first = static_cast<int64_t>(splits[places[i]]) * bytes;
    const int64_t size = static_cast<int64_t>(splits[places[i] + 1]) * bytes - first;
    memcpy(to, static_cast<const char*>(values) + first, static_cast<size_t>(size));
    to += size;
  }
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_RAGGED_H_
