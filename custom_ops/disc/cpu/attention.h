// float32 scaled dot-product attention: softmax(scale * Q K^T + mask) V, the scores never leaving the cache.
//
//   out[b, h, i, d] = sum over j of P[b, h, i, j] * v[b, h, j, d],
//   P[b, h, i, :] = softmax over j of (scale * sum over x of q[b, h, i, x] * k[b, h, j, x] + mask[b, h, i, j])
//
// or, with `fill`, of the mask itself wherever it is not 0.
//
// q: [batch, heads, q_len, depth]; k: [batch, heads, kv_len, depth]; v: [batch, heads, kv_len, value_depth]; out:
// [batch, heads, q_len, value_depth]. Each has its own strides in floats for batch, head and row, so that transposes
// that split or merge heads need not be done; the innermost dimension is contiguous. mask: additive, any strides, 0 to
// broadcast; NULL for none. Any extent may be 0; kv_len == 0 gives zeros.
// As TensorFlow's Softmax: the row's largest score is subtracted first; a row of -inf alone gives NaNs.
// Returns BLADE_OK or BLADE_NO_MEMORY.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_ATTENTION_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_ATTENTION_H_

#include "lanes_math.h"
#include "pack.h"

namespace blade {
namespace {

// Strides in floats of a [batch, heads, rows, inner] tensor whose inner dimension is contiguous.
struct HeadStrides {
  int64_t batch = 0;
  int64_t head = 0;
  int64_t row = 0;
};

struct AttentionArgs {
  int64_t batch = 0;
  int64_t heads = 0;
  int64_t q_len = 0;
  int64_t kv_len = 0;
  int64_t depth = 0;
  int64_t value_depth = 0;
  float scale = 1.0f;
  const float* q = nullptr;
  HeadStrides q_strides;
  const float* k = nullptr;
  HeadStrides k_strides;
  const float* v = nullptr;
  HeadStrides v_strides;
  const float* mask = nullptr;
  HeadStrides mask_strides;
  int64_t mask_column_stride = 0;
  bool fill = false;  // the mask is not added: where it is not 0 it takes the score's place
  float* out = nullptr;
  HeadStrides out_strides;
};

// The operands of one head of one batch item.
struct AttentionHead {
  const float* q;
  const float* k;
  const float* v;
  const float* mask;
  float* out;

  AttentionHead(const AttentionArgs& args, int64_t index) {
    const int64_t b = index / args.heads;
    const int64_t h = index % args.heads;
    auto offset = [&](const HeadStrides& s) { return b * s.batch + h * s.head; };
    q = args.q + offset(args.q_strides);
    k = args.k + offset(args.k_strides);
    v = args.v + offset(args.v_strides);
    mask = args.mask == nullptr ? nullptr : args.mask + offset(args.mask_strides);
    out = args.out + offset(args.out_strides);
  }
};

// A score with its mask.
template <bool kFill>
BLADE_ALWAYS_INLINE Lanes masked(Lanes score, Lanes scale, Lanes mask) {
  return kFill ? select(mask == 0.0f, score * scale, mask) : fma(score, scale, mask);
}

// n scores of a row: scaled and masked; gives the largest. NaNs stay, and do not count as largest.
template <bool kFill>
BLADE_ALWAYS_INLINE float scale_and_mask_as(const AttentionArgs& args, const float* mask, int64_t n, float* scores) {
  Lanes scale = args.scale;
  if (mask != nullptr && args.mask_column_stride > 1) {
    for (int64_t j = 0; j < n; ++j) {
      const float other = mask[j * args.mask_column_stride];
      const float score = scores[j] * args.scale;
      scores[j] = !kFill ? score + other : other == 0.0f ? score : other;
    }
    scale = 1.0f;
    mask = nullptr;
  }
  const float none = -__builtin_inff();
  Lanes most[] = {none, none, none, none};
  auto visit = [&](auto at, int64_t j, int slot, Lanes score) BLADE_LAMBDA {
    at.store(scores + j, score);
    most[slot] = at.kept(greater(score, most[slot]), most[slot]);
  };
  if (mask != nullptr && args.mask_column_stride == 1) {
    for_lanes<4>(0, n, [&](auto at, int64_t j, int slot) BLADE_LAMBDA {
      visit(at, j, slot, masked<kFill>(at.load(scores + j), scale, at.load(mask + j)));
    });
  } else {
    const Lanes same = mask == nullptr ? 0.0f : *mask;
    for_lanes<4>(0, n, [&](auto at, int64_t j, int slot) BLADE_LAMBDA {
      visit(at, j, slot, masked<kFill>(at.load(scores + j), scale, same));
    });
  }
  return fold_lanes<FoldGreater>(most);
}

BLADE_NOINLINE inline float scale_and_mask(const AttentionArgs& args, const float* mask, int64_t n, float* scores) {
  return args.fill && mask != nullptr ? scale_and_mask_as<true>(args, mask, n, scores)
                                      : scale_and_mask_as<false>(args, mask, n, scores);
}

// Turns n scores into exp(score - largest); returns the sum of the results.
BLADE_NOINLINE inline float exponentiate(float* scores, int64_t n, float largest) {
  Lanes total[] = {0.0f, 0.0f};
  for_lanes<2>(0, n, [&](auto at, int64_t j, int slot) BLADE_LAMBDA {
    const Lanes weight = fn_exp_difference(at.load(scores + j) - largest);
    at.store(scores + j, weight);
    total[slot] = at.kept(total[slot] + weight, total[slot]);
  });
  return fold_lanes<FoldSum>(total);
}

// out = weights of one query row times V, over the sum of the weights; kVectors vectors of V's columns.
template <int kVectors>
BLADE_ALWAYS_INLINE void weigh_columns(const AttentionArgs& args, const float* v, const float* weights, float inverse,
                                       float* out) {
  Vec total[kVectors] = {};
  for (int64_t j = 0; j < args.kv_len; ++j) {
    const Vec weight = splat(weights[j]);
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) total[i] = fma(weight, load(v + i * kLanes), total[i]);
    v += args.v_strides.row;
  }
#pragma GCC unroll 4
  for (int i = 0; i < kVectors; ++i) store(out + i * kLanes, total[i] * inverse);
}

inline void weigh_values(const AttentionArgs& args, const float* v, const float* weights, float inverse, float* out) {
  int64_t d = 0;
  for (; d + 4 * kLanes <= args.value_depth; d += 4 * kLanes) weigh_columns<4>(args, v + d, weights, inverse, out + d);
  for (; d + kLanes <= args.value_depth; d += kLanes) weigh_columns<1>(args, v + d, weights, inverse, out + d);
  for (; d < args.value_depth; ++d) {
    float total = 0.0f;
    for (int64_t j = 0; j < args.kv_len; ++j) total += weights[j] * v[j * args.v_strides.row + d];
    out[d] = total * inverse;
  }
}

// Few query rows: K and V are read where they lie.
inline void attend_in_place(const AttentionArgs& args, const AttentionHead& head, int64_t begin, int64_t end,
                            float* scores) {
  for (int64_t i = begin; i < end; ++i) {
    const float* q = head.q + i * args.q_strides.row;
    for (int64_t j = 0; j < args.kv_len; ++j) {
      const float* k = head.k + j * args.k_strides.row;
      Vec total = {};
      int64_t x = 0;
      for (; x + kLanes <= args.depth; x += kLanes) total = fma(load(q + x), load(k + x), total);
      float score = sum(total);
      for (; x < args.depth; ++x) score += q[x] * k[x];
      scores[j] = score;
    }
    const float* mask = head.mask == nullptr ? nullptr : head.mask + i * args.mask_strides.row;
    const float largest = scale_and_mask(args, mask, args.kv_len, scores);
    const float total = exponentiate(scores, args.kv_len, largest);
    weigh_values(args, head.v, scores, 1.0f / total, head.out + i * args.out_strides.row);
  }
}

// Where one thread keeps K^T and V packed, a tile of queries, and the tile's scores.
//
// Both are kept as the micro-kernel wants its left operand: pieces of kDepth columns, each kTileRows rows that are
// kRowStride floats apart. So the scores that one product writes are what the other one reads.
struct AttentionScratch {
  static constexpr int64_t kPiece = kTileRows * kRowStride;
  int64_t k_floats;
  int64_t v_floats;
  int64_t query_floats;
  int64_t score_floats;

  explicit AttentionScratch(const AttentionArgs& args) {
    k_floats = packed_b_bytes(args.depth, args.kv_len) / 4;
    v_floats = packed_b_bytes(args.kv_len, args.value_depth) / 4;
    query_floats = ceil_div(args.depth, kDepth) * kPiece;
    score_floats = ceil_div(args.kv_len, kDepth) * kPiece;
  }
  int64_t bytes() const { return (k_floats + v_floats + query_floats + score_floats) * 4; }
};

constexpr Ahead kNothingAhead = {nullptr, 0, 0, 0};

// scores = queries times K^T, for a tile of at most kTileRows rows.
inline void score_tile(const AttentionArgs& args, const float* k_packed, const float* queries, int64_t rows,
                       float* scores) {
  float* c[kTileRows];
  for (int64_t p = 0; p < ceil_div(args.kv_len, kPanel); ++p) {
    const int64_t column = p * kPanel;
    float* piece = scores + column / kDepth * AttentionScratch::kPiece + column % kDepth;
    for (int i = 0; i < kTileRows; ++i) c[i] = piece + i * kRowStride;
    const float* panel = k_packed + column * args.depth;
    for (int64_t x = 0; x < args.depth; x += kDepth) {
      multiply_tile_dispatch<2>(rows, min64(kDepth, args.depth - x), queries + x / kDepth * AttentionScratch::kPiece,
                                panel + x * kPanel, kPanel, c, x > 0, kNothingAhead);
    }
    if (args.depth == 0) {
      for (int64_t r = 0; r < rows; ++r) zero_floats(c[r], kPanel);
    }
  }
}

// Turns a row of scores into weights; returns their sum.
inline float weigh_row(const AttentionArgs& args, const float* mask, float* scores) {
  float largest = -__builtin_inff();
  for (int64_t j = 0; j < args.kv_len; j += kDepth) {
    float* piece = scores + j / kDepth * AttentionScratch::kPiece;
    const float* piece_mask = mask == nullptr ? nullptr : mask + j * args.mask_column_stride;
    const float most = scale_and_mask(args, piece_mask, min64(kDepth, args.kv_len - j), piece);
    largest = most > largest ? most : largest;
  }
  float total = 0.0f;
  for (int64_t j = 0; j < args.kv_len; j += kDepth) {
    float* piece = scores + j / kDepth * AttentionScratch::kPiece;
    total += exponentiate(piece, min64(kDepth, args.kv_len - j), largest);
  }
  return total;
}

// out = weights times V, each row times its factor.
inline void value_tile(const AttentionArgs& args, const float* v_packed, const float* weights, const float* factors,
                       int64_t rows, float* out) {
  float sums[kTileRows * kPanel] __attribute__((aligned(64)));
  float* c[kTileRows];
  for (int i = 0; i < kTileRows; ++i) c[i] = sums + i * kPanel;
  for (int64_t column = 0; column < args.value_depth; column += kPanel) {
    const float* panel = v_packed + column * args.kv_len;
    for (int64_t j = 0; j < args.kv_len; j += kDepth) {
      multiply_tile_dispatch<2>(rows, min64(kDepth, args.kv_len - j), weights + j / kDepth * AttentionScratch::kPiece,
                                panel + j * kPanel, kPanel, c, j > 0, kNothingAhead);
    }
    const int64_t columns = min64(kPanel, args.value_depth - column);
    for (int64_t r = 0; r < rows; ++r) {
      float* to = out + r * args.out_strides.row + column;
      const Lanes factor = factors[r];
      for_lanes<1>(0, columns,
                   [&](auto at, int64_t n, int) BLADE_LAMBDA { at.store(to + n, at.load(c[r] + n) * factor); });
    }
  }
}

// Query rows [begin, end) of a head, through packed K^T and V.
inline void attend_packed(const AttentionArgs& args, const AttentionHead& head, const AttentionScratch& scratch,
                          int64_t begin, int64_t end, float* memory) {
  float* k_packed = memory;
  float* v_packed = k_packed + scratch.k_floats;
  float* queries = v_packed + scratch.v_floats;
  float* scores = queries + scratch.query_floats;
  pack_panels(head.k, args.k_strides.row, true, args.depth, args.kv_len, 0, ceil_div(args.kv_len, kPanel), k_packed);
  pack_panels(head.v, args.v_strides.row, false, args.kv_len, args.value_depth, 0, ceil_div(args.value_depth, kPanel),
              v_packed);
  float factors[kTileRows];
  for (int64_t i = begin; i < end; i += kTileRows) {
    const int64_t rows = min64(kTileRows, end - i);
    for (int64_t x = 0; x < args.depth; x += kDepth) {
      float* piece = queries + x / kDepth * AttentionScratch::kPiece;
      for (int64_t r = 0; r < rows; ++r) {
        copy_floats(piece + r * kRowStride, head.q + (i + r) * args.q_strides.row + x, min64(kDepth, args.depth - x));
      }
    }
    score_tile(args, k_packed, queries, rows, scores);
    for (int64_t r = 0; r < rows; ++r) {
      const float* mask = head.mask == nullptr ? nullptr : head.mask + (i + r) * args.mask_strides.row;
      factors[r] = 1.0f / weigh_row(args, mask, scores + r * kRowStride);
    }
    value_tile(args, v_packed, scores, factors, rows, head.out + i * args.out_strides.row);
  }
}

inline void zero_attention(const AttentionArgs& args) {
  for (int64_t index = 0; index < args.batch * args.heads; ++index) {
    const AttentionHead head(args, index);
    for (int64_t i = 0; i < args.q_len; ++i) zero_floats(head.out + i * args.out_strides.row, args.value_depth);
  }
}

BLADE_NOINLINE inline int32_t attention(const BladeRal* ral, const AttentionArgs& args) {
  constexpr int64_t kFewRows = 4;  // packing K and V costs more than it gains up to here
  const int64_t all_heads = args.batch * args.heads;
  if (all_heads == 0 || args.q_len == 0 || args.value_depth == 0) return BLADE_OK;
  if (args.kv_len == 0) {
    zero_attention(args);
    return BLADE_OK;
  }
  const AttentionScratch scratch(args);
  const bool few = args.q_len <= kFewRows;
  ScratchPool pool(ral);
  if (!pool.allocate(few ? args.kv_len * 4 : scratch.bytes())) return BLADE_NO_MEMORY;
  // A head is cut into parts when there are few heads; each part packs K and V again.
  const int64_t wanted = ral->num_threads > 1 ? 3 * ral->num_threads : 1;
  const int64_t parts = min64(ceil_div(wanted, all_heads), ceil_div(args.q_len, 2 * kTileRows));
  const int64_t part_rows = round_up(ceil_div(args.q_len, parts), few ? 1 : kTileRows);
  auto work = [&](int64_t begin, int64_t end) {
    const int32_t slot = pool.acquire();
    float* memory = reinterpret_cast<float*>(pool.data(slot));
    for (int64_t task = begin; task < end; ++task) {
      const AttentionHead head(args, task / parts);
      const int64_t first = min64(task % parts * part_rows, args.q_len);
      const int64_t last = min64(first + part_rows, args.q_len);
      if (first == last) continue;
      if (few) {
        attend_in_place(args, head, first, last, memory);
      } else {
        attend_packed(args, head, scratch, first, last, memory);
      }
    }
    pool.release(slot);
  };
  const int64_t products = part_rows * args.kv_len * (args.depth + args.value_depth + 16);
  const int64_t packing = args.kv_len * (args.depth + args.value_depth) / 8;
  parallel_for(ral, all_heads * parts, products / (3 * kLanes) + packing, work);
  return BLADE_OK;
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_ATTENTION_H_
