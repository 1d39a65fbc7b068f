// Matrix multiplication for element types other than float32 (float64, int32, int64, ...): simple and correct.
//
//   C[i][m][n] = sum over k of A[i][m][k] * B[i][k][n],  i < batch; then epilogue(i * m_count + m, n_begin, n_end, c).
//
// Element type T, accumulated in T; integers wrap around as TensorFlow's do. Layouts, strides (in elements), extents
// of 0 and the epilogue's contract (with T* for float*) are those of gemm.h; B cannot be packed. C overlaps neither.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_DOT_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_DOT_H_

#include "parallel.h"

namespace blade {
namespace {

template <class T>
struct DotArgs {
  int64_t batch = 1;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const T* a = nullptr;
  int64_t lda = 0;
  int64_t a_batch_stride = 0;
  bool a_transposed = false;
  const T* b = nullptr;
  int64_t ldb = 0;
  int64_t b_batch_stride = 0;
  bool b_transposed = false;
  T* c = nullptr;
  int64_t ldc = 0;
  int64_t c_batch_stride = 0;
};

// What sums are made in: signed integers overflow without undefined behaviour when computed unsigned.
template <class T>
struct DotSum {
  typedef T Type;
};
template <>
struct DotSum<int32_t> {
  typedef uint32_t Type;
};
template <>
struct DotSum<int64_t> {
  typedef uint64_t Type;
};

struct DotNoEpilogue {
  template <class T>
  void operator()(int64_t /*m*/, int64_t /*n_begin*/, int64_t /*n_end*/, T* /*c*/) const {}
};

constexpr int kDotColumns = 64;  // of C that one thread sums at a time, on its stack

// c[0 .. columns) = row of A times columns of B; a's elements are a_stride apart.
template <class T>
BLADE_NOINLINE void dot_row(const T* a, int64_t a_stride, const T* b, int64_t ldb, bool b_transposed, int64_t k,
                            int64_t columns, T* c) {
  typedef typename DotSum<T>::Type Sum;
  Sum sums[kDotColumns] = {};
  if (b_transposed) {
    for (int64_t n = 0; n < columns; ++n) {
      const T* row = b + n * ldb;
      Sum total = 0;
      for (int64_t i = 0; i < k; ++i) {
        total += static_cast<Sum>(a[i * a_stride]) * static_cast<Sum>(row[i]);
      }
      sums[n] = total;
    }
  } else {
    for (int64_t i = 0; i < k; ++i) {
      const Sum left = static_cast<Sum>(a[i * a_stride]);
      const T* row = b + i * ldb;
      for (int64_t n = 0; n < columns; ++n) sums[n] += left * static_cast<Sum>(row[n]);
    }
  }
  for (int64_t n = 0; n < columns; ++n) c[n] = static_cast<T>(sums[n]);
}

template <class T, class Epilogue = DotNoEpilogue>
inline int32_t dot(const BladeRal* ral, const DotArgs<T>& args, const Epilogue& epilogue = Epilogue{}) {
  constexpr int64_t kRows = 8;  // of C in a block: what is read of B stays in the cache for them
  const int64_t row_blocks = ceil_div(args.m, kRows);
  const int64_t column_blocks = ceil_div(args.n, kDotColumns);
  const int64_t a_row = args.a_transposed ? 1 : args.lda;
  const int64_t a_column = args.a_transposed ? args.lda : 1;
  auto work = [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t n = task % column_blocks * kDotColumns;
      const int64_t first = task / column_blocks % row_blocks * kRows;
      const int64_t i = task / (column_blocks * row_blocks);
      const int64_t columns = min64(kDotColumns, args.n - n);
      const T* b = args.b + i * args.b_batch_stride + (args.b_transposed ? n * args.ldb : n);
      for (int64_t m = first; m < min64(first + kRows, args.m); ++m) {
        const T* a = args.a + i * args.a_batch_stride + m * a_row;
        T* c = args.c + i * args.c_batch_stride + m * args.ldc + n;
        dot_row(a, a_column, b, args.ldb, args.b_transposed, args.k, columns, c);
        epilogue(i * args.m + m, n, n + columns, c);
      }
    }
  };
  parallel_for(ral, args.batch * row_blocks * column_blocks, kRows * kDotColumns * args.k / 4 + 50, work);
  return BLADE_OK;
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_DOT_H_
