// Many small products of float32 matrices: both operands of one fit the first level cache, and one thread computes it.
//
// Arguments, epilogue and extents of 0 are those of gemm.h; B is not packed, k at most kSmallInner. The general GEMM
// packs all right operands first, copies left ones, and cuts each product into tiles by calls through pointers: for a
// few thousand FMAs that costs several times the arithmetic.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_SMALL_PRODUCTS_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_SMALL_PRODUCTS_H_

#include "gemm.h"
#include "lanes.h"

namespace blade {
namespace {

constexpr int64_t kSmallInner = 64;
constexpr int kSmallRows = kLanes == 16 ? 9 : 4;  // of C in a tile, two vectors each

// The first `columns` of the two vectors of a row.
BLADE_ALWAYS_INLINE void store_pair(float* c, Vec low, Vec high, int64_t columns) {
  if (columns >= kLanes) {
    store(c, low);
    if (columns >= 2 * kLanes) {
      store(c + kLanes, high);
    } else if (columns > kLanes) {
      Part(columns - kLanes).store(c + kLanes, Lanes(high));
    }
  } else {
    Part(columns).store(c, Lanes(low));
  }
}

// kRows rows of C: A's elements are a_row and a_column apart, the panel's rows two vectors.
template <int kRows>
BLADE_ALWAYS_INLINE void small_tile(const float* a, int64_t a_row, int64_t a_column, const float* panel, int64_t k,
                                    int64_t columns, float* c, int64_t ldc) {
  Vec low[kRows];
  Vec high[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) low[r] = high[r] = splat(0.0f);
  for (int64_t i = 0; i < k; ++i) {
    const Vec left = load(panel + i * kPanel);
    const Vec right = load(panel + i * kPanel + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec x = splat(a[r * a_row + i * a_column]);
      low[r] = fma(x, left, low[r]);
      high[r] = fma(x, right, high[r]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) store_pair(c + r * ldc, low[r], high[r], columns);
}

template <class Epilogue = NoEpilogue>
inline int32_t small_products(const BladeRal* ral, const GemmArgs& args, const Epilogue& epilogue = Epilogue{}) {
  const int64_t a_row = args.a_transposed ? 1 : args.lda;
  const int64_t a_column = args.a_transposed ? args.lda : 1;
  const int64_t cost = ceil_div(args.n, kPanel) * args.k * (args.m + 8) / (kLanes / 8) + 50;
  parallel_for(ral, args.m == 0 || args.n == 0 ? 0 : args.batch, cost, [&](int64_t begin, int64_t end) {
    alignas(64) float panel[kSmallInner * kPanel];
    for (int64_t i = begin; i < end; ++i) {
      const float* a = args.a + i * args.a_batch_stride;
      const float* b = args.b + i * args.b_batch_stride;
      float* c = args.c + i * args.c_batch_stride;
      for (int64_t n = 0; n < args.n; n += kPanel) {
        const int64_t columns = min64(args.n - n, kPanel);
        pack_panel(args.b_transposed ? b + n * args.ldb : b + n, args.ldb, args.b_transposed, args.k, columns, panel);
        int64_t m = 0;
        for (; m + kSmallRows <= args.m; m += kSmallRows) {
          small_tile<kSmallRows>(a + m * a_row, a_row, a_column, panel, args.k, columns, c + m * args.ldc + n,
                                 args.ldc);
        }
        for (; m < args.m; ++m) {
          small_tile<1>(a + m * a_row, a_row, a_column, panel, args.k, columns, c + m * args.ldc + n, args.ldc);
        }
      }
      for (int64_t m = 0; m < args.m; ++m) epilogue(i * args.m + m, 0, args.n, c + m * args.ldc);
    }
  });
  return BLADE_OK;
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_SMALL_PRODUCTS_H_
