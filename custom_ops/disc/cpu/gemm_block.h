// The single-threaded part of a float32 GEMM: one block of rows times a range of packed panels.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_GEMM_BLOCK_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_GEMM_BLOCK_H_

#include "pack.h"

namespace blade {
namespace {

constexpr int64_t kNoLimit = int64_t{1} << 62;

// Where results go. operator() returns the address of C(m, n) of a batch; columns [j * run(), (j + 1) * run()) of a row
// are contiguous there.
struct RowMajorC {
  float* c;
  int64_t ldc;
  int64_t batch_stride;
  float* operator()(int64_t batch, int64_t m, int64_t n) const { return c + batch * batch_stride + m * ldc + n; }
  int64_t run() const { return kNoLimit; }
};

// Called with final sums: c[0 .. n_end - n_begin) holds C(m, n_begin .. n_end); may change them in place. Each element
// of C is passed exactly once.
struct NoEpilogue {
  void operator()(int64_t /*m*/, int64_t /*n_begin*/, int64_t /*n_end*/, float* /*c*/) const {}
};

// A right operand: panel p at panels + p * panel_stride, its rows row_stride floats apart. When `tail` is set it is the
// last panel instead (rows kPanel apart), because the operand in memory ends before a whole panel does.
struct PanelView {
  const float* panels;
  int64_t panel_stride;
  int64_t row_stride;
  const float* tail;
};

inline PanelView packed_view(const float* packed, int64_t k) { return {packed, k * kPanel, kPanel, nullptr}; }

struct BlockShape {
  int64_t m;           // first row
  int64_t rows;        // at most kBlockRows
  int64_t first_panel;
  int64_t last_panel;  // exclusive
  int64_t n;           // columns of the whole matrix
  int64_t k;
};

// One panel of one tile whose columns are fewer than the micro-kernel's, or not contiguous in C.
template <class Dst>
BLADE_NOINLINE void multiply_edge(const Dst& dst, int64_t batch, int64_t m, int64_t rows, int tile, int64_t column,
                                  int64_t columns, int64_t depth, const float* a, const float* b, int64_t b_stride,
                                  bool accumulate) {
  float sums[kTileRows * kPanel] __attribute__((aligned(64)));
  float* c[kTileRows];
  for (int i = 0; i < kTileRows; ++i) c[i] = sums + i * kPanel;
  if (columns <= kLanes) {
    multiply_tile_dispatch<1>(tile, depth, a, b, b_stride, c, false);
  } else {
    multiply_tile_dispatch<2>(tile, depth, a, b, b_stride, c, false);
  }
  const int64_t run = dst.run();
  for (int64_t j = 0; j < columns;) {
    const int64_t count = min64(columns - j, run - (column + j) % run);
    for (int64_t i = 0; i < rows; ++i) {
      float* out = dst(batch, m + i, column + j);
      if (accumulate) {
        for (int64_t x = 0; x < count; ++x) out[x] += c[i][j + x];
      } else {
        copy_floats(out, c[i] + j, count);
      }
    }
    j += count;
  }
}

// Multiplies `rows` rows in the buffer by the block's panels, for inner indices [k, k + depth).
template <class Dst>
inline void multiply_depth(const BlockShape& block, int64_t k, int64_t depth, const float* buffer,
                           const PanelView& right, const Dst& dst, int64_t batch) {
  const int64_t run = dst.run();
  float unused[kPanel] = {};
  for (int64_t p = block.first_panel; p < block.last_panel; ++p) {
    const int64_t column = p * kPanel;
    const int64_t columns = min64(kPanel, block.n - column);
    const bool in_tail = right.tail != nullptr && columns < kPanel;
    const int64_t stride = in_tail ? kPanel : right.row_stride;
    const float* b = (in_tail ? right.tail : right.panels + p * right.panel_stride) + k * stride;
    const bool edge = columns < kPanel || (run < kNoLimit && column % run + kPanel > run);
    for (int64_t first = 0; first < block.rows; first += kTileRows) {
      const int64_t rows = min64(kTileRows, block.rows - first);
      const int tile = tile_rows_for(rows);
      const float* a = buffer + first * kRowStride;
      if (edge) {
        multiply_edge(dst, batch, block.m + first, rows, tile, column, columns, depth, a, b, stride, k > 0);
        continue;
      }
      float* c[kTileRows];
      for (int i = 0; i < kTileRows; ++i) c[i] = i < rows ? dst(batch, block.m + first + i, column) : unused;
      multiply_tile_dispatch<2>(tile, depth, a, b, stride, c, k > 0);
    }
  }
}

// C block = A block * B panels, then epilogue(batch, m, n_begin, n_end, c) on each contiguous piece of each row.
template <class Source, class Dst, class Epilogue>
BLADE_NOINLINE void multiply_block(const BlockShape& block, const Source& source, const PanelView& right,
                                   const Dst& dst, const Epilogue& epilogue, int64_t batch) {
  // Tiles may compute surplus rows: up to 3 beyond the block's, whose values are never used.
  float buffer[kBufferFloats + 4 * kRowStride] __attribute__((aligned(64)));
  const int64_t n_begin = block.first_panel * kPanel;
  const int64_t n_end = min64(block.n, block.last_panel * kPanel);
  const int64_t run = dst.run();
  const int64_t chunks = ceil_div(block.k, kDepth);
  const int64_t chunk = chunks == 0 ? 0 : ceil_div(block.k, chunks);
  for (int64_t r = block.rows; r < block.rows + 4; ++r) zero_floats(buffer + r * kRowStride, kDepth);
  for (int64_t k = 0; k < block.k; k += chunk) {
    const int64_t depth = min64(chunk, block.k - k);
    source(batch, block.m, block.rows, k, depth, buffer);
    multiply_depth(block, k, depth, buffer, right, dst, batch);
  }
  for (int64_t r = 0; r < block.rows; ++r) {
    for (int64_t n = n_begin; n < n_end;) {
      const int64_t stop = run == kNoLimit ? n_end : min64(n_end, n + run - n % run);
      float* c = dst(batch, block.m + r, n);
      if (block.k == 0) zero_floats(c, stop - n);
      epilogue(batch, block.m + r, n, stop, c);
      n = stop;
    }
  }
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_GEMM_BLOCK_H_
