// Searches in sorted sequences.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_SEARCH_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_SEARCH_H_

#include "parallel.h"
#include "scalar.h"

namespace blade {
namespace {

// out[r][j] = the first place of row r's sequence whose element is not less than (Upper: is greater than) the value, as
// std::lower_bound and std::upper_bound find it.
template <bool Upper, class T, class I>
BLADE_NOINLINE void search_sorted(const BladeRal* ral, const T* sequence, const T* values, I* out, int64_t rows,
                                  int64_t length, int64_t columns) {
  parallel_for(ral, rows * columns, 40, [=](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const T* row = sequence + unit / columns * length;
      const T value = values[unit];
      int64_t first = 0;
      int64_t count = length;
      while (count > 0) {
        const int64_t step = count / 2;
        const T element = row[first + step];
        const bool goes_on = Upper ? !fn_less(value, element) : fn_less(element, value);
        first = goes_on ? first + step + 1 : first;
        count = goes_on ? count - step - 1 : step;
      }
      out[unit] = static_cast<I>(first);
    }
  });
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_SEARCH_H_
