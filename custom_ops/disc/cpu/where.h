// The places of true elements: counted block by block, then written block by block at places that the counts give.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_WHERE_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_WHERE_H_

#include "parallel.h"
#include "scalar.h"

namespace blade {
namespace {

constexpr int64_t kWhereBlock = 4096;

// starts[b] = number of true elements before block b, for each block of x and one more; gives the number of all.
BLADE_NOINLINE int64_t where_count(const BladeRal* ral, const uint8_t* x, int64_t* starts, int64_t total) {
  const int64_t blocks = ceil_div(total, kWhereBlock);
  parallel_for(ral, blocks, kWhereBlock / 16, [=](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      int64_t found = 0;
      for (int64_t i = b * kWhereBlock; i < min64((b + 1) * kWhereBlock, total); ++i) found += x[i] != 0;
      starts[b + 1] = found;
    }
  });
  starts[0] = 0;
  for (int64_t b = 0; b < blocks; ++b) starts[b + 1] += starts[b];
  return starts[blocks];
}

// The index of element `i`, axis by axis.
template <int kRank>
BLADE_ALWAYS_INLINE void where_index(int64_t i, const int64_t* dims, int64_t* index) {
  for (int axis = kRank - 1; axis > 0; --axis) {
    index[axis] = i % dims[axis];
    i /= dims[axis];
  }
  index[0] = i;
}

// result[k] = index of the k-th true element.
template <int kRank>
BLADE_NOINLINE void where_fill(const BladeRal* ral, const uint8_t* x, const int64_t* starts, int64_t* result,
                               const int64_t* dims, int64_t total) {
  parallel_for(ral, ceil_div(total, kWhereBlock), kWhereBlock / 2, [=](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      if (starts[b] == starts[b + 1]) continue;
      int64_t* to = result + starts[b] * kRank;
      int64_t index[kRank];
      where_index<kRank>(b * kWhereBlock, dims, index);
      for (int64_t i = b * kWhereBlock; i < min64((b + 1) * kWhereBlock, total); ++i) {
        if (x[i] != 0) {
          for (int axis = 0; axis < kRank; ++axis) to[axis] = index[axis];
          to += kRank;
        }
        for (int axis = kRank - 1; axis >= 0; --axis) {
          if (++index[axis] < dims[axis] || axis == 0) break;
          index[axis] = 0;
        }
      }
    }
  });
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_WHERE_H_
