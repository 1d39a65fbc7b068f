// Rows dealt out to several tensors by number, and put together again. Rows are bytes: nothing is computed with them.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_PARTITION_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_PARTITION_H_

#include "fail.h"
#include "parallel.h"

namespace blade {
namespace {

// counts[k] = how many of `places` are k < num.
BLADE_NOINLINE int32_t partition_count(const BladeRal* ral, const int32_t* places, int64_t n, int64_t num,
                                       int64_t* counts) {
  for (int64_t k = 0; k < num; ++k) counts[k] = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (static_cast<uint64_t>(int64_t{places[i]}) >= static_cast<uint64_t>(num)) {
      return fail(ral, "a partition's number is out of range");
    }
    ++counts[places[i]];
  }
  return BLADE_OK;
}

// Row i goes to the end of targets[places[i]].
BLADE_NOINLINE void partition_fill(const void* data, const int32_t* places, int64_t n, int64_t bytes, char** targets) {
  const char* from = static_cast<const char*>(data);
  for (int64_t i = 0; i < n; ++i, from += bytes) {
    memcpy(targets[places[i]], from, static_cast<size_t>(bytes));
    targets[places[i]] += bytes;
  }
}

// The number of rows that indices up to the largest need.
BLADE_NOINLINE int32_t stitch_rows(const BladeRal* ral, const int32_t* indices, int64_t n, int64_t* rows) {
  *rows = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (indices[i] < 0) return fail(ral, "an index is negative");
    *rows = max64(*rows, int64_t{indices[i]} + 1);
  }
  return BLADE_OK;
}

// result[indices[i]] = data[i], later ones over earlier ones; rows that no index names are zeros.
BLADE_NOINLINE void stitch_fill(const void* data, const int32_t* indices, int64_t n, int64_t bytes, void* result,
                                int64_t rows) {
  memset(result, 0, static_cast<size_t>(rows * bytes));
  for (int64_t i = 0; i < n; ++i) {
    memcpy(static_cast<char*>(result) + indices[i] * bytes, static_cast<const char*>(data) + i * bytes,
           static_cast<size_t>(bytes));
  }
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_PARTITION_H_
