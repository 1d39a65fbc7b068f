// The single-threaded part of a float32 GEMM: one block of rows times a range of packed panels.
//
// What differs between uses (where rows come from and go to, the epilogue) is behind function pointers that are called
// for at least a row at a time, so that this code is compiled once however many GEMMs a translation unit has.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_GEMM_BLOCK_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_GEMM_BLOCK_H_

#include "pack.h"

namespace blade {
namespace {

constexpr int64_t kNoLimit = int64_t{1} << 62;

// The left operand: copies block [m, m + rows) x [k, k + depth) of a batch into the micro-kernel's buffer.
struct Source {
  void (*copy)(const void* self, int64_t batch, int64_t m, int64_t rows, int64_t k, int64_t depth, float* buffer);
  const void* self;
};

template <class T>
inline Source source_of(const T& source) {
  auto copy = [](const void* self, int64_t batch, int64_t m, int64_t rows, int64_t k, int64_t depth, float* buffer) {
    (*static_cast<const T*>(self))(batch, m, rows, k, depth, buffer);
  };
  return {copy, &source};
}

// A caller's destination has the address of C(m, n) of a batch as operator()(batch, m, n), and run(): columns
// [j * run(), (j + 1) * run()) of a row are contiguous there. This is the usual one.
struct RowMajorC {
  float* c;
  int64_t ldc;
  int64_t batch_stride;
};

struct Target {
  RowMajorC plain;  // used when place is NULL
  float* (*place)(const void* self, int64_t batch, int64_t m, int64_t n);
  const void* self;
  int64_t run;

  BLADE_ALWAYS_INLINE float* at(int64_t batch, int64_t m, int64_t n) const {
    if (place != nullptr) return place(self, batch, m, n);
    return plain.c + batch * plain.batch_stride + m * plain.ldc + n;
  }
};

inline Target target_of(const RowMajorC& c) { return {c, nullptr, nullptr, kNoLimit}; }

template <class T>
inline Target target_of(const T& target) {
  auto place = [](const void* self, int64_t batch, int64_t m, int64_t n) -> float* {
    return (*static_cast<const T*>(self))(batch, m, n);
  };
  return {{}, place, &target, target.run()};
}

// Called with final sums: c[0 .. n_end - n_begin) holds C(m, n_begin .. n_end); may change them in place. Each element
// of C is passed exactly once.
struct NoEpilogue {
  void operator()(int64_t /*m*/, int64_t /*n_begin*/, int64_t /*n_end*/, float* /*c*/) const {}
};

struct RowEpilogue {
  void (*apply)(const void* self, int64_t m, int64_t n_begin, int64_t n_end, float* c);  // NULL: nothing to do
  const void* self;
  int64_t batch_m = 0;  // added to m and n for each batch before the caller's epilogue sees them
  int64_t batch_n = 0;
};

inline RowEpilogue epilogue_of(const NoEpilogue& /*epilogue*/) { return {nullptr, nullptr}; }

template <class T>
inline RowEpilogue epilogue_of(const T& epilogue) {
  auto apply = [](const void* self, int64_t m, int64_t n_begin, int64_t n_end, float* c) {
    (*static_cast<const T*>(self))(m, n_begin, n_end, c);
  };
  return {apply, &epilogue};
}

// A right operand: panel p of a batch at panels + batch * batch_stride + p * panel_stride, its rows row_stride floats
// apart. When `tails` is set they are the batches' last panels instead (rows kPanel apart), because the operand in
// memory ends before a whole panel does.
struct Panels {
  const float* panels;
  int64_t batch_stride;
  int64_t panel_stride;
  int64_t row_stride;
  const float* tails;
  int64_t tail_stride;  // floats between batches' tails
};

inline Panels packed_panels(const float* packed, int64_t k, int64_t batch_stride) {
  return {packed, batch_stride, k * kPanel, kPanel, nullptr, 0};
}

struct BlockShape {
  int64_t batch;
  int64_t m;  // first row
  int64_t rows;
  int64_t first_panel;
  int64_t last_panel;  // exclusive
  int64_t n;           // columns of the whole matrix
  int64_t k;
};

// One panel of one tile whose columns are fewer than the micro-kernel's, or not contiguous in C.
BLADE_NOINLINE inline void multiply_edge(const BlockShape& block, int64_t first, int64_t column, int64_t depth,
                                         const float* a, const float* b, int64_t b_stride, const Target& target,
                                         bool accumulate) {
  const int64_t rows = min64(kTileRows, block.rows - first);
  const int64_t columns = min64(kPanel, block.n - column);
  float sums[kTileRows * kPanel] __attribute__((aligned(64)));
  float* c[kTileRows];
  for (int i = 0; i < kTileRows; ++i) c[i] = sums + i * kPanel;
  if (columns <= kLanes) {
    multiply_tile_dispatch<1>(tile_rows_for(rows), depth, a, b, b_stride, c, false);
  } else {
    multiply_tile_dispatch<2>(tile_rows_for(rows), depth, a, b, b_stride, c, false);
  }
  for (int64_t j = 0; j < columns;) {
    const int64_t count = min64(columns - j, target.run - (column + j) % target.run);
    for (int64_t i = 0; i < rows; ++i) {
      float* out = target.at(block.batch, block.m + first + i, column + j);
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
BLADE_NOINLINE inline void multiply_depth(const BlockShape& block, int64_t k, int64_t depth, const float* buffer,
                                          const Panels& right, const Target& target) {
  float unused[kPanel] = {};
  for (int64_t p = block.first_panel; p < block.last_panel; ++p) {
    const int64_t column = p * kPanel;
    const bool whole = column + kPanel <= block.n;
    const bool in_tail = right.tails != nullptr && !whole;
    const int64_t stride = in_tail ? kPanel : right.row_stride;
    const float* panel = in_tail ? right.tails + block.batch * right.tail_stride
                                 : right.panels + block.batch * right.batch_stride + p * right.panel_stride;
    const float* b = panel + k * stride;
    const bool edge = !whole || (target.run < kNoLimit && column % target.run + kPanel > target.run);
    for (int64_t first = 0; first < block.rows; first += kTileRows) {
      const int64_t rows = min64(kTileRows, block.rows - first);
      const float* a = buffer + first * kRowStride;
      if (edge) {
        multiply_edge(block, first, column, depth, a, b, stride, target, k > 0);
        continue;
      }
      float* c[kTileRows];
      for (int i = 0; i < kTileRows; ++i) {
        c[i] = i < rows ? target.at(block.batch, block.m + first + i, column) : unused;
      }
      multiply_tile_dispatch<2>(tile_rows_for(rows), depth, a, b, stride, c, k > 0);
    }
  }
}

// The epilogue on each contiguous piece of each row of a finished block; zeros first where there was nothing to sum.
BLADE_NOINLINE inline void finish_block(const BlockShape& block, const Target& target, const RowEpilogue& epilogue) {
  const int64_t n_end = min64(block.n, block.last_panel * kPanel);
  const int64_t m_offset = block.m + block.batch * epilogue.batch_m;
  const int64_t n_offset = block.batch * epilogue.batch_n;
  for (int64_t r = 0; r < block.rows; ++r) {
    for (int64_t n = block.first_panel * kPanel; n < n_end;) {
      const int64_t stop = target.run == kNoLimit ? n_end : min64(n_end, n + target.run - n % target.run);
      float* c = target.at(block.batch, block.m + r, n);
      if (block.k == 0) zero_floats(c, stop - n);
      if (epilogue.apply != nullptr) epilogue.apply(epilogue.self, m_offset + r, n_offset + n, n_offset + stop, c);
      n = stop;
    }
  }
}

// C block = A block * B panels, then the epilogue. For each chunk of the inner dimension all rows of the block pass, a
// buffer's worth at a time, so that the chunk's part of B is fetched once and then found in the second level cache.
BLADE_NOINLINE inline void multiply_block(const BlockShape& block, const Source& source, const Panels& right,
                                          const Target& target, const RowEpilogue& epilogue) {
  // Tiles may compute surplus rows: up to 3 beyond the block's, whose values are never used.
  float buffer[kBufferFloats + 4 * kRowStride] __attribute__((aligned(64)));
  const int64_t chunks = ceil_div(block.k, kDepth);
  const int64_t chunk = chunks == 0 ? 0 : ceil_div(block.k, chunks);
  BlockShape part = block;
  for (int64_t k = 0; k < block.k; k += chunk) {
    const int64_t depth = min64(chunk, block.k - k);
    for (int64_t first = 0; first < block.rows; first += kBlockRows) {
      part.m = block.m + first;
      part.rows = min64(block.rows - first, kBlockRows);
      source.copy(source.self, part.batch, part.m, part.rows, k, depth, buffer);
      const int64_t surplus = part.rows % kTileRows == 0 ? 0 : 4;
      for (int64_t r = part.rows; r < part.rows + surplus; ++r) zero_floats(buffer + r * kRowStride, depth);
      multiply_depth(part, k, depth, buffer, right, target);
    }
  }
  if (block.k == 0 || epilogue.apply != nullptr) finish_block(block, target, epilogue);
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_GEMM_BLOCK_H_
