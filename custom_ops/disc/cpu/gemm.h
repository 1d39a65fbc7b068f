// float32 matrix multiplication with a fused epilogue.
//
//   C[i][m][n] = sum over k of A[i][m][k] * B[i][k][n],  i < batch; then epilogue(i * m_count + m, ...) on C's rows.
//
// dtype float32, accumulated in float32. Any extent may be 0 (k == 0 gives zeros, then the epilogue) or 1.
// A: [m, k] with rows lda floats apart, or [k, m] when a_transposed. B: [k, n] with rows ldb floats apart, or [n, k]
// when b_transposed; or packed beforehand with pack_b (weights). C: rows ldc floats apart, or wherever a Dst says.
// A batch stride of 0 broadcasts an operand. C overlaps neither A nor B.
//
// Epilogue: void operator()(int64_t m, int64_t n_begin, int64_t n_end, float* c) const, see gemm_block.h; called from
// several threads at once, for each element of C exactly once, with final sums.
// Returns BLADE_OK or BLADE_NO_MEMORY (only when B is not packed).
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_GEMM_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_GEMM_H_

#include "gemm_block.h"

namespace blade {
namespace {

struct GemmArgs {
  int64_t batch = 1;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const float* a = nullptr;
  int64_t lda = 0;
  int64_t a_batch_stride = 0;
  bool a_transposed = false;
  const float* b_packed = nullptr;  // set: made by pack_b; b, ldb and b_transposed are not looked at
  const float* b = nullptr;
  int64_t ldb = 0;
  int64_t b_batch_stride = 0;  // floats; for packed operands a multiple of packed_b_bytes(k, n) / 4
  bool b_transposed = false;
  float* c = nullptr;  // not looked at when a Dst is given
  int64_t ldc = 0;
  int64_t c_batch_stride = 0;
};

// Most rows of a block: enough to hide that its part of B comes from memory, few enough for a buffer on the stack.
constexpr int64_t kGemmRows = 128;
// Most where several blocks are needed anyway: whole tiles that leave more of the second level cache to the panels.
constexpr int64_t kSeveralRows = 98 / kTileRows * kTileRows;

// How [m, n] is cut into blocks that threads take one at a time: rows, and panels, dealt out evenly.
struct GemmPartition {
  int64_t m_blocks = 1;
  int64_t n_blocks = 1;
  int64_t cost = 0;  // nanoseconds of a block, roughly

  GemmPartition(int64_t batch, int64_t m, int64_t n, int64_t k, int64_t threads) {
    const int64_t panels = ceil_div(n, kPanel);
    const int64_t least_rows = ceil_div(m, m <= kGemmRows ? kGemmRows : kSeveralRows);
    if (threads <= 1 || batch * m * n * k <= (int64_t{1} << 18)) {
      m_blocks = least_rows;
    } else {
      choose(batch, m, panels, least_rows, threads);
    }
    // A cycle for each row, panel and inner index, twice as many with AVX2; B at 8 bytes a nanosecond at best.
    const int64_t cycles = block_cycles(ceil_div(m, m_blocks), ceil_div(panels, n_blocks));
    cost = cycles * k * (16 / kLanes) / 40 + 100;
  }

 private:
  // Cycles of a block for each inner index, times 16: copying its rows, fetching its panels, and multiplying, where
  // each tile costs nearly a row more than it has.
  static int64_t block_cycles(int64_t rows, int64_t panels) {
    const int64_t multiplying = 16 * rows + 12 * ceil_div(rows, kTileRows);
    return 6 * rows + panels * (64 + max64(multiplying, 192));
  }

  // Tries numbers of column blocks, each with the row blocks that make one to four blocks a thread. Several are
  // better than one when a thread comes late.
  void choose(int64_t batch, int64_t m, int64_t panels, int64_t least_rows, int64_t threads) {
    int64_t best = kNoLimit;
    for (int64_t columns = 1; columns <= min64(panels, 4 * threads); ++columns) {
      int64_t previous = 0;
      for (int64_t each = 1; each <= 4; ++each) {
        const int64_t rows = min64(max64(least_rows, ceil_div(each * threads, batch * columns)), m);
        if (rows == previous) continue;
        previous = rows;
        const int64_t turns = ceil_div(batch * rows * columns, threads);
        const int64_t time = turns * block_cycles(ceil_div(m, rows), ceil_div(panels, columns));
        const int64_t score = time + time / (12 * turns);
        if (score >= best) continue;
        best = score;
        m_blocks = rows;
        n_blocks = columns;
      }
    }
  }
};

// GEMM over any left operand, packed or viewable right operand, destination and epilogue.
BLADE_NOINLINE inline void multiply(const BladeRal* ral, int64_t batch, int64_t m, int64_t n, int64_t k,
                                    const Source& source, const Panels& right, const Target& target,
                                    const RowEpilogue& epilogue) {
  if (batch == 0 || m == 0 || n == 0) return;
  const GemmPartition cut(batch, m, n, k, ral->num_threads);
  const int64_t panels = ceil_div(n, kPanel);
  parallel_for(ral, batch * cut.m_blocks * cut.n_blocks, cut.cost, [&](int64_t begin, int64_t end) {
    // Columns vary fastest: neighbouring blocks of the same rows are done as one, with one copy of the rows.
    while (begin < end) {
      const int64_t column_block = begin % cut.n_blocks;
      const int64_t row_block = begin / cut.n_blocks % cut.m_blocks;
      const int64_t count = min64(end - begin, cut.n_blocks - column_block);
      const int64_t row = m * row_block / cut.m_blocks;
      const int64_t last_row = m * (row_block + 1) / cut.m_blocks;
      const int64_t first = panels * column_block / cut.n_blocks;
      const int64_t last = panels * (column_block + count) / cut.n_blocks;
      const int64_t i = begin / (cut.m_blocks * cut.n_blocks);
      const BlockShape block = {i, row, last_row - row, first, last, n, k};
      multiply_block<kGemmRows>(block, source, right, target, epilogue);
      begin += count;
    }
  });
}

// Packs the right operands of all batches. Returns NULL when memory is out.
BLADE_NOINLINE inline float* pack_batched_b(const BladeRal* ral, const GemmArgs& args, int64_t batches,
                                            Scratch& scratch) {
  const int64_t panels = ceil_div(args.n, kPanel);
  float* packed = static_cast<float*>(scratch.allocate(packed_b_bytes(args.k, args.n) * batches));
  if (packed == nullptr) return nullptr;
  parallel_for(ral, batches * panels, args.k * kPanel / 4, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t i = task / panels;
      const int64_t p = task % panels;
      pack_panels(args.b + i * args.b_batch_stride, args.ldb, args.b_transposed, args.k, args.n, p, p + 1,
                  packed + i * panels * args.k * kPanel);
    }
  });
  return packed;
}

// Right operands that are read where they lie: row-major ones that are read about once. Only a last panel that is not
// whole is copied, all batches' at `tails`.
inline bool reads_in_place(const GemmArgs& args) { return !args.b_transposed && args.m <= 2 * kTileRows; }

BLADE_NOINLINE inline float* pack_tails(const GemmArgs& args, int64_t batches, Scratch& scratch) {
  const int64_t tail = args.n / kPanel;
  const int64_t bytes = batches * args.k * kPanel * static_cast<int64_t>(sizeof(float));
  float* tails = static_cast<float*>(scratch.allocate(bytes));
  if (tails == nullptr) return nullptr;
  for (int64_t i = 0; i < batches; ++i) {
    pack_panel(args.b + i * args.b_batch_stride + tail * kPanel, args.ldb, false, args.k, args.n % kPanel,
               tails + i * args.k * kPanel);
  }
  return tails;
}

// The right operand as panels: packed beforehand, where it lies, or packed now, in scratch. False when memory is out.
BLADE_NOINLINE inline bool find_panels(const BladeRal* ral, const GemmArgs& args, Scratch& scratch, Panels* panels) {
  if (args.b_packed != nullptr) {
    *panels = packed_panels(args.b_packed, args.k, args.b_batch_stride);
    return true;
  }
  const bool shared = args.b_batch_stride == 0;
  const int64_t batches = shared ? 1 : args.batch;
  if (reads_in_place(args)) {
    const bool has_tail = args.n % kPanel != 0;
    const float* tails = has_tail ? pack_tails(args, batches, scratch) : nullptr;
    *panels = {args.b, args.b_batch_stride, kPanel, args.ldb, tails, shared ? 0 : args.k * kPanel};
    return !has_tail || tails != nullptr;
  }
  const float* packed = pack_batched_b(ral, args, batches, scratch);
  *panels = packed_panels(packed, args.k, shared ? 0 : packed_b_bytes(args.k, args.n) / 4);
  return packed != nullptr;
}

BLADE_NOINLINE inline int32_t gemm_to(const BladeRal* ral, const GemmArgs& args, const Target& target,
                                      RowEpilogue epilogue) {
  if (args.batch == 0 || args.m == 0 || args.n == 0) return BLADE_OK;
  Panels panels;
  Scratch scratch(ral);
  if (!find_panels(ral, args, scratch, &panels)) return BLADE_NO_MEMORY;
  epilogue.batch_m = args.m;
  const RowMajorA rows = {args.a, args.lda, args.a_batch_stride};
  const ColumnMajorA columns = {args.a, args.lda, args.a_batch_stride};
  const Source source = args.a_transposed ? source_of(columns) : source_of(rows);
  multiply(ral, args.batch, args.m, args.n, args.k, source, panels, target, epilogue);
  return BLADE_OK;
}

// Batches that share B and lie one after another are one matrix of batch * m rows.
inline GemmArgs fold_batches(const GemmArgs& args) {
  GemmArgs folded = args;
  if (args.b_batch_stride == 0 && !args.a_transposed && args.a_batch_stride == args.m * args.lda &&
      args.c_batch_stride == args.m * args.ldc) {
    folded.m = args.batch * args.m;
    folded.batch = 1;
  }
  return folded;
}

// GEMM whose results go where target says, see RowMajorC in gemm_block.h.
template <class Epilogue, class T>
inline int32_t gemm(const BladeRal* ral, const GemmArgs& args, const Epilogue& epilogue, const T& target) {
  return gemm_to(ral, args, target_of(target), epilogue_of(epilogue));
}

// GEMM into args.c.
template <class Epilogue = NoEpilogue>
inline int32_t gemm(const BladeRal* ral, const GemmArgs& args, const Epilogue& epilogue = Epilogue{}) {
  const Target target = target_of(RowMajorC{args.c, args.ldc, args.c_batch_stride});
  return gemm_to(ral, fold_batches(args), target, epilogue_of(epilogue));
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_GEMM_H_
