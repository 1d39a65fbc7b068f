// float32 scaled dot-product attention: softmax(scale * Q K^T + mask) V, the scores never leaving the cache.
//
//   out[b, h, i, d] = sum over j of P[b, h, i, j] * v[b, h, j, d],
//   P[b, h, i, :] = softmax over j of (scale * sum over x of q[b, h, i, x] * k[b, h, j, x] + mask[b, h, i, j])
//
// q: [batch, heads, q_len, depth]; k: [batch, heads, kv_len, depth]; v: [batch, heads, kv_len, value_depth]; out:
// [batch, heads, q_len, value_depth]. Each has its own strides in floats for batch, head and row, so that transposes
// that split or merge heads need not be done; the innermost dimension is contiguous. mask: additive, any strides, 0 to
// broadcast; NULL for none. Any extent may be 0; kv_len == 0 gives zeros.
// As TensorFlow's Softmax: the row's largest score is subtracted first; a row of -inf alone gives NaNs.
// Returns BLADE_OK or BLADE_NO_MEMORY.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_ATTENTION_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_ATTENTION_H_

#include "gemm_block.h"
#include "math_exp.h"

namespace blade {
namespace {

// Query rows whose scores are held at once: few enough for the cache, many enough to use K and V's panels well.
constexpr int64_t kAttentionRows = 4 * kTileRows < 48 ? 48 : 4 * kTileRows;

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

// scores = scale * scores + mask row. Scores beyond kv_len, up to a whole vector, become -inf: no weight.
inline void scale_and_mask(const AttentionArgs& args, const float* mask, float* scores) {
  const int64_t n = args.kv_len;
  const float scale = args.scale;
  if (mask == nullptr) {
    for (int64_t j = 0; j < n; ++j) scores[j] *= scale;
  } else if (args.mask_column_stride == 1) {
    for (int64_t j = 0; j < n; ++j) scores[j] = scores[j] * scale + mask[j];
  } else {
    for (int64_t j = 0; j < n; ++j) scores[j] = scores[j] * scale + mask[j * args.mask_column_stride];
  }
  for (int64_t j = n; j < round_up(n, kLanes); ++j) scores[j] = -__builtin_inff();
}

// Turns scores into exp(score - largest score); returns the sum of the results. Scores past n are -inf.
BLADE_NOINLINE inline float exponentiate(float* scores, int64_t n) {
  const int64_t padded = round_up(n, kLanes);
  Vec most = load(scores);
  for (int64_t j = kLanes; j < padded; j += kLanes) most = max(most, load(scores + j));
  const float shift = largest(most);
  for (int64_t j = 0; j < padded; ++j) scores[j] = math::exp(scores[j] - shift);
  Vec total = {};
  for (int64_t j = 0; j < padded; j += kLanes) total += load(scores + j);
  return sum(total);
}

// out = weights of one query row times V, over the sum of the weights.
inline void weigh_values(const AttentionArgs& args, const float* v, const float* weights, float inverse, float* out) {
  const int64_t stride = args.v_strides.row;
  int64_t d = 0;
  for (; d + kLanes <= args.value_depth; d += kLanes) {
    Vec total = {};
    for (int64_t j = 0; j < args.kv_len; ++j) total = fma(splat(weights[j]), load(v + j * stride + d), total);
    store(out + d, total * inverse);
  }
  for (; d < args.value_depth; ++d) {
    float total = 0.0f;
    for (int64_t j = 0; j < args.kv_len; ++j) total += weights[j] * v[j * stride + d];
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
    scale_and_mask(args, head.mask == nullptr ? nullptr : head.mask + i * args.mask_strides.row, scores);
    const float total = exponentiate(scores, args.kv_len);
    weigh_values(args, head.v, scores, 1.0f / total, head.out + i * args.out_strides.row);
  }
}

// Divides finished rows by the sums of their weights.
struct NormalizeRows {
  const float* inverse_sums;
  void operator()(int64_t m, int64_t n_begin, int64_t n_end, float* c) const {
    for (int64_t n = 0; n < n_end - n_begin; ++n) c[n] *= inverse_sums[m];
  }
};

// Where one thread keeps K^T and V packed, and a block's scores.
struct AttentionScratch {
  int64_t k_floats;
  int64_t v_floats;
  int64_t score_stride;
  int64_t rows;  // of queries in a block: what keeps its scores in the second level cache

  explicit AttentionScratch(const AttentionArgs& args) {
    k_floats = packed_b_bytes(args.depth, args.kv_len) / 4;
    v_floats = packed_b_bytes(args.kv_len, args.value_depth) / 4;
    score_stride = round_up(args.kv_len, kLanes) + kLanes;
    rows = args.kv_len <= 2048 ? kAttentionRows : kTileRows;
  }
  int64_t bytes() const { return (k_floats + v_floats + rows * score_stride) * 4; }
};

// Query rows [begin, end) of a head, through packed K^T and V.
inline void attend_packed(const AttentionArgs& args, const AttentionHead& head, const AttentionScratch& scratch,
                          int64_t begin, int64_t end, float* memory) {
  float* k_packed = memory;
  float* v_packed = memory + scratch.k_floats;
  float* scores = v_packed + scratch.v_floats;
  const int64_t key_panels = ceil_div(args.kv_len, kPanel);
  const int64_t value_panels = ceil_div(args.value_depth, kPanel);
  pack_panels(head.k, args.k_strides.row, true, args.depth, args.kv_len, 0, key_panels, k_packed);
  pack_panels(head.v, args.v_strides.row, false, args.kv_len, args.value_depth, 0, value_panels, v_packed);
  float inverse_sums[kAttentionRows];
  for (int64_t i = begin; i < end; i += scratch.rows) {
    const int64_t rows = min64(scratch.rows, end - i);
    const int64_t stride = scratch.score_stride;
    const RowMajorA queries = {head.q + i * args.q_strides.row, args.q_strides.row, 0};
    multiply_block<kAttentionRows>({0, 0, rows, 0, key_panels, args.kv_len, args.depth}, source_of(queries),
                                   packed_panels(k_packed, args.depth, 0), target_of(RowMajorC{scores, stride, 0}),
                                   epilogue_of(NoEpilogue{}));
    for (int64_t r = 0; r < rows; ++r) {
      const float* mask = head.mask == nullptr ? nullptr : head.mask + (i + r) * args.mask_strides.row;
      scale_and_mask(args, mask, scores + r * stride);
      inverse_sums[r] = 1.0f / exponentiate(scores + r * stride, args.kv_len);
    }
    const RowMajorA weights = {scores, stride, 0};
    const NormalizeRows normalize = {inverse_sums};
    const RowMajorC out = {head.out + i * args.out_strides.row, args.out_strides.row, 0};
    multiply_block<kAttentionRows>({0, 0, rows, 0, value_panels, args.value_depth, args.kv_len}, source_of(weights),
                                   packed_panels(v_packed, args.kv_len, 0), target_of(out), epilogue_of(normalize));
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
  ScratchPool pool;
  if (!pool.allocate(ral, few ? scratch.score_stride * 4 : scratch.bytes())) return BLADE_NO_MEMORY;
  // A head is cut into parts when there are few heads; each part packs K and V again.
  const int64_t wanted = ral->num_threads > 1 ? 3 * ral->num_threads : 1;
  const int64_t parts = min64(ceil_div(wanted, all_heads), ceil_div(args.q_len, scratch.rows));
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
