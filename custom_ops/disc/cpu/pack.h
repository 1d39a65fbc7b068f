// Packing of float32 operands for the micro-kernel.
//
// Packed right operand: panels of kPanel columns, one after another, each [K][kPanel] contiguous; columns beyond N are
// zero. Panels are `K * kPanel` floats apart. Packed at init for weights, in scratch otherwise.
// Left operand: "sources" copy [rows x depth] blocks into the micro-kernel's buffer (rows kRowStride floats apart):
//   void operator()(int64_t batch, int64_t m, int64_t rows, int64_t k, int64_t depth, float* buffer) const
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_PACK_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_PACK_H_

#include "microkernel.h"
#include "parallel.h"

namespace blade {
namespace {

// Bytes of a packed right operand [k, n]: pass to alloc or alloc_persistent.
inline int64_t packed_b_bytes(int64_t k, int64_t n) {
  return round_up(n, kPanel) * k * static_cast<int64_t>(sizeof(float));
}

// Packs `depth` rows of one panel; b points at the first row's first column.
inline void pack_panel(const float* b, int64_t ldb, bool transposed, int64_t depth, int64_t columns, float* dst) {
  if (transposed) {
    transpose_floats(b, ldb, columns, depth, dst, kPanel);
    if (columns == kPanel) return;
    for (int64_t k = 0; k < depth; ++k) zero_floats(dst + k * kPanel + columns, kPanel - columns);
    return;
  }
  for (int64_t k = 0; k < depth; ++k) {
    const float* src = b + k * ldb;
    float* row = dst + k * kPanel;
    if (columns == kPanel) {
      store(row, load(src));
      store(row + kLanes, load(src + kLanes));
    } else {
      copy_floats(row, src, columns);
      zero_floats(row + columns, kPanel - columns);
    }
  }
}

// Packs panels [first, last) of b: [k, n] with rows ldb floats apart, or [n, k] when transposed.
inline void pack_panels(const float* b, int64_t ldb, bool transposed, int64_t k, int64_t n, int64_t first, int64_t last,
                        float* dst) {
  for (int64_t p = first; p < last; ++p) {
    const int64_t column = p * kPanel;
    const float* src = transposed ? b + column * ldb : b + column;
    pack_panel(src, ldb, transposed, k, min64(n - column, kPanel), dst + p * k * kPanel);
  }
}

// Packs the right operand b: [k, n] with rows ldb floats apart or, when transposed, [n, k] with rows ldb floats apart,
// into dst (packed_b_bytes(k, n) bytes, 64-byte aligned).
inline void pack_b(const BladeRal* ral, const float* b, int64_t ldb, bool transposed, int64_t k, int64_t n,
                   float* dst) {
  const int64_t panels = ceil_div(n, kPanel);
  parallel_for(ral, panels, k * kPanel / 2,
               [=](int64_t first, int64_t last) { pack_panels(b, ldb, transposed, k, n, first, last, dst); });
}

// Left operand in memory: row m of batch i at a + i * batch_stride + m * lda, inner dimension contiguous.
struct RowMajorA {
  const float* a;
  int64_t lda;
  int64_t batch_stride;
  const float* at(int64_t batch, int64_t m, int64_t k) const { return a + batch * batch_stride + m * lda + k; }
  void operator()(int64_t batch, int64_t m, int64_t rows, int64_t k, int64_t depth, float* buffer) const {
    const float* src = at(batch, m, k);
    for (int64_t i = 0; i < rows; ++i) copy_floats(buffer + i * kRowStride, src + i * lda, depth);
  }
};

// Left operand stored transposed, [K, M]: element (m, k) at a + k * lda + m.
struct ColumnMajorA {
  const float* a;
  int64_t lda;
  int64_t batch_stride;
  void operator()(int64_t batch, int64_t m, int64_t rows, int64_t k, int64_t depth, float* buffer) const {
    transpose_floats(a + batch * batch_stride + k * lda + m, lda, depth, rows, buffer, kRowStride);
  }
};

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_PACK_H_
