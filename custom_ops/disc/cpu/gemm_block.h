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
constexpr int64_t kMostPanels = 768 / kPanel;  // whose part of C stays in the second level cache over several passes

// The left operand: copies block [m, m + rows) x [k, k + depth) of a batch into the micro-kernel's buffer. `plain` is
// set for rows in memory, which are then fetched into the cache ahead of copying.
struct Source {
  void (*copy)(const void* self, int64_t batch, int64_t m, int64_t rows, int64_t k, int64_t depth, float* buffer);
  const void* self;
  const RowMajorA* plain;
};

template <class T>
inline Source source_of(const T& source) {
  auto copy = [](const void* self, int64_t batch, int64_t m, int64_t rows, int64_t k, int64_t depth, float* buffer) {
    (*static_cast<const T*>(self))(batch, m, rows, k, depth, buffer);
  };
  if constexpr (__is_same(T, RowMajorA)) {
    return {copy, &source, &source};
  } else {
    return {copy, &source, nullptr};
  }
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

// One tile of a panel: `rows` rows at `a`, columns from `column` on.
struct Tile {
  int64_t first;  // row, counted from the block's
  int64_t rows;
  int64_t column;
  int64_t depth;
  const float* a;
  const float* b;
  int64_t b_stride;
  bool accumulate;
};

// A tile whose columns are fewer than the micro-kernel's, or not contiguous in C.
BLADE_NOINLINE inline void multiply_edge(const BlockShape& block, const Tile& tile, const Target& target,
                                         const Ahead& ahead) {
  const int64_t columns = min64(kPanel, block.n - tile.column);
  float sums[kTileRows * kPanel] __attribute__((aligned(64)));
  float* c[kTileRows];
  for (int i = 0; i < kTileRows; ++i) c[i] = sums + i * kPanel;
  if (columns <= kLanes) {
    multiply_tile_dispatch<1>(tile.rows, tile.depth, tile.a, tile.b, tile.b_stride, c, false, ahead);
  } else {
    multiply_tile_dispatch<2>(tile.rows, tile.depth, tile.a, tile.b, tile.b_stride, c, false, ahead);
  }
  for (int64_t j = 0; j < columns;) {
    const int64_t count = min64(columns - j, target.run - (tile.column + j) % target.run);
    for (int64_t i = 0; i < tile.rows; ++i) {
      float* out = target.at(block.batch, block.m + tile.first + i, tile.column + j);
      if (tile.accumulate) {
        for (int64_t x = 0; x < count; ++x) out[x] += c[i][j + x];
      } else {
        copy_floats(out, c[i] + j, count);
      }
    }
    j += count;
  }
}

BLADE_ALWAYS_INLINE void multiply_whole(const BlockShape& block, const Tile& tile, const Target& target,
                                        const Ahead& ahead) {
  float* c[kTileRows];
  for (int64_t i = 0; i < tile.rows; ++i) c[i] = target.at(block.batch, block.m + tile.first + i, tile.column);
  multiply_tile_dispatch<2>(tile.rows, tile.depth, tile.a, tile.b, tile.b_stride, c, tile.accumulate, ahead);
}

// One panel of the right operand, for a chunk of the inner dimension.
struct PanelPart {
  int64_t column;
  const float* b;
  int64_t b_stride;
  bool edge;

  PanelPart(const BlockShape& block, const Panels& right, const Target& target, int64_t p, int64_t k) {
    column = p * kPanel;
    const bool whole = column + kPanel <= block.n;
    const bool in_tail = right.tails != nullptr && !whole;
    b_stride = in_tail ? kPanel : right.row_stride;
    b = in_tail ? right.tails + block.batch * right.tail_stride
                : right.panels + block.batch * right.batch_stride + p * right.panel_stride;
    b += k * b_stride;
    edge = !whole || (target.run < kNoLimit && column % target.run + kPanel > target.run);
  }
};

// Multiplies a block whose rows fit the buffer, for inner indices [k, k + depth). Rows are cut into tiles of about
// equal height, since a low one costs more a row. Unless they are there from before, they are copied tile by tile on
// the way through the first panel, while the next tile's rows come from memory; during other panels the panel after
// comes, some lines with each tile.
BLADE_NOINLINE inline void multiply_depth(const BlockShape& block, int64_t k, int64_t depth, bool copied,
                                          const Source& source, const Panels& right, const Target& target,
                                          float* buffer) {
  const int64_t tiles = ceil_div(block.rows, kTileRows);
  // With few tiles a panel is not used for longer than it takes to come: fetching another would only be in its way.
  const bool fetches = right.row_stride == kPanel && tiles > 2;
  const int64_t lines = fetches ? ceil_div(kPanel, tiles) : 0;
  const int64_t step = ceil_div(depth, kLineFloats) * lines * kLineFloats;
  for (int64_t p = block.first_panel; p < block.last_panel; ++p) {
    const bool copies = !copied && p == block.first_panel;
    const PanelPart part(block, right, target, p, k);
    // After the last panel: the next chunk's first one, or the next block's.
    const bool turns = p + 1 == block.last_panel;
    const int64_t back = (block.first_panel - p) * right.panel_stride + depth * kPanel;
    const float* next =
        part.b + (turns ? (k + depth < block.k ? back : right.panel_stride - k * kPanel) : right.panel_stride);
    int64_t first = 0;
    for (int64_t t = 1; t <= tiles; ++t) {
      const int64_t last = block.rows * t / tiles;
      float* rows = buffer + first * kRowStride;
      const Tile tile = {first, last - first, part.column, depth, rows, part.b, part.b_stride, k > 0};
      Ahead ahead = {next + (t - 1) * step, lines, kLineFloats, lines * kLineFloats};
      if (copies) {
        source.copy(source.self, block.batch, block.m + first, last - first, k, depth, rows);
        if (source.plain != nullptr && t < tiles) {
          const int64_t rows_after = block.rows * (t + 1) / tiles - last;
          ahead = {source.plain->at(block.batch, block.m + last, k), rows_after, source.plain->lda, kLineFloats};
        }
      }
      if (part.edge) {
        multiply_edge(block, tile, target, ahead);
      } else {
        multiply_whole(block, tile, target, ahead);
      }
      first = last;
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

// C block = A block * B panels, then the epilogue. The rows of the left operand pass through a buffer on the
// stack, where it stays in the cache from call to call: kRows rows of a chunk of the inner dimension. As many panels
// are done at a time as leave their part of C in the cache until the epilogue.
template <int64_t kRows>
BLADE_NOINLINE inline void multiply_block(const BlockShape& block, const Source& source, const Panels& right,
                                          const Target& target, const RowEpilogue& epilogue) {
  float buffer[kRows * kRowStride] __attribute__((aligned(64)));
  const int64_t chunks = ceil_div(block.k, kDepth);
  const int64_t chunk = chunks == 0 ? 0 : round_up(ceil_div(block.k, chunks), kLineFloats);
  BlockShape part = block;
  for (int64_t first = 0; first < block.rows; first += kRows) {
    part.m = block.m + first;
    part.rows = min64(block.rows - first, kRows);
    for (int64_t p = block.first_panel; p < block.last_panel; p += kMostPanels) {
      part.first_panel = p;
      part.last_panel = min64(p + kMostPanels, block.last_panel);
      for (int64_t k = 0; k < block.k; k += chunk) {
        const bool copied = chunks == 1 && p > block.first_panel;
        multiply_depth(part, k, min64(chunk, block.k - k), copied, source, right, target, buffer);
      }
      if (block.k == 0 || epilogue.apply != nullptr) finish_block(part, target, epilogue);
    }
  }
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_GEMM_BLOCK_H_
