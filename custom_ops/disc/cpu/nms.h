// Non-maximum suppression, in TensorFlow's order of operations: ties, NaN and soft suppression come out alike.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_NMS_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_NMS_H_

#include "fail.h"
#include "order.h"
#include "parallel.h"
#include "scalar.h"

namespace blade {
namespace {

// The smaller and larger of two, the first where they do not compare.
BLADE_ALWAYS_INLINE float first_min(float a, float b) { return b < a ? b : a; }
BLADE_ALWAYS_INLINE float first_max(float a, float b) { return a < b ? b : a; }

struct NmsBox {
  float top, left, bottom, right, area;
};

inline NmsBox nms_box(const float* corners) {
  NmsBox box{first_min(corners[0], corners[2]), first_min(corners[1], corners[3]), first_max(corners[0], corners[2]),
             first_max(corners[1], corners[3]), 0};
  box.area = (box.bottom - box.top) * (box.right - box.left);
  return box;
}

// Intersection over union.
inline float nms_overlap(const NmsBox& a, const NmsBox& b) {
  if (a.area <= 0 || b.area <= 0) return 0;
  const float height = first_max(first_min(a.bottom, b.bottom) - first_max(a.top, b.top), 0.0f);
  const float width = first_max(first_min(a.right, b.right) - first_max(a.left, b.left), 0.0f);
  const float common = height * width;
  return common / (a.area + b.area - common);
}

struct NmsCandidate {
  int32_t box;
  float score;
  int32_t compared;  // how many of the picked boxes it has been compared with
};

struct NmsLimits {
  int64_t most;
  float overlap;
  float score;
  float sigma;
};

// What a candidate's score is multiplied with for its overlap with a picked box.
inline float nms_weight(const NmsLimits& limits, float overlap) {
  if (limits.sigma > 0) return fn_exp(-0.5f / limits.sigma * overlap * overlap);
  if (!(overlap <= limits.overlap)) return 0;
  return overlap - overlap == 0 ? 1.0f : __builtin_nanf("");
}

// Compares a candidate with the boxes picked since it was last compared; whether it is out.
template <class Overlap>
inline bool nms_suppress(const NmsLimits& limits, const Overlap& overlap, int64_t count, NmsCandidate* candidate) {
  for (int64_t j = count - 1; j >= candidate->compared; --j) {
    const float common = overlap(candidate->box, j);
    candidate->score *= nms_weight(limits, common);
    if (!(limits.sigma > 0) && common > limits.overlap) return true;
    if (candidate->score <= limits.score) break;
  }
  candidate->compared = static_cast<int32_t>(count);
  return false;
}

// Picks boxes, best score first, lower index first among equals. `heap`, `picked` and `scores` have room for n; `take`
// is told of each pick, `overlap(i, j)` is that of box i and the j-th pick. Gives the number of picks.
template <class Overlap, class Take>
inline int64_t nms_pick(const float* given, int64_t n, const NmsLimits& limits, NmsCandidate* heap, int32_t* picked,
                        float* scores, const Overlap& overlap, const Take& take) {
  const auto less = [](const NmsCandidate& a, const NmsCandidate& b) {
    return (a.score == b.score && a.box > b.box) || a.score < b.score;
  };
  int64_t size = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (given[i] > limits.score) heap_push(heap, &size, NmsCandidate{static_cast<int32_t>(i), given[i], 0}, less);
  }
  int64_t count = 0;
  while (count < limits.most && size > 0) {
    NmsCandidate next = heap_pop(heap, &size, less);
    const float original = next.score;
    if (nms_suppress(limits, overlap, count, &next)) continue;
    if (next.score == original) {
      take(next.box, count);
      picked[count] = next.box;
      scores[count++] = next.score;
    } else if (next.score > limits.score) {
      heap_push(heap, &size, next, less);
    }
  }
  return count;
}

inline int32_t nms_check(const BladeRal* ral, const NmsLimits& limits) {
  if (limits.most < 0) return fail(ral, "non-maximum suppression: the output size is negative");
  if (!(limits.sigma >= 0)) return fail(ral, "non-maximum suppression: sigma is negative");
  return BLADE_OK;
}

// boxes [n, 4], scores [n]; `kept` is scratch for n boxes.
BLADE_NOINLINE int32_t nms(const BladeRal* ral, const float* boxes, const float* given, int64_t n, NmsLimits limits,
                           NmsCandidate* heap, int32_t* picked, float* scores, NmsBox* kept, int64_t* count) {
  if (!(limits.overlap >= 0 && limits.overlap <= 1)) {
    return fail(ral, "non-maximum suppression: the threshold is not in [0, 1]");
  }
  if (const int32_t code = nms_check(ral, limits)) return code;
  const auto overlap = [=](int32_t i, int64_t j) { return nms_overlap(nms_box(boxes + 4 * int64_t{i}), kept[j]); };
  const auto take = [=](int32_t i, int64_t j) { kept[j] = nms_box(boxes + 4 * int64_t{i}); };
  *count = nms_pick(given, n, limits, heap, picked, scores, overlap, take);
  return BLADE_OK;
}

// overlaps [n, n], scores [n].
BLADE_NOINLINE int32_t nms_with_overlaps(const BladeRal* ral, const float* overlaps, const float* given, int64_t n,
                                         NmsLimits limits, NmsCandidate* heap, int32_t* picked, float* scores,
                                         int64_t* count) {
  if (const int32_t code = nms_check(ral, limits)) return code;
  const auto overlap = [=](int32_t i, int64_t j) { return overlaps[i * n + picked[j]]; };
  *count = nms_pick(given, n, limits, heap, picked, scores, overlap, [](int32_t, int64_t) {});
  return BLADE_OK;
}

// to[i] = from[i] for i < count, then zeros.
template <class T>
inline void nms_copy(const T* from, int64_t count, T* to, int64_t size) {
  for (int64_t i = 0; i < size; ++i) to[i] = i < count ? from[i] : T{0};
}

// --- all classes of a batch together ---

struct NmsScored {
  float score;
  int32_t box;
};
struct NmsResult {
  float score;
  int32_t box;
  int32_t klass;
};

struct CombinedNmsArgs {
  const float* boxes;   // [batch, n, sets, 4]
  const float* scores;  // [batch, n, classes]
  int64_t batch, n, sets, classes;
  int64_t per_class;  // most boxes of a class
  int64_t total;      // most boxes of a batch entry
  int64_t size;       // boxes of a batch entry in the results, padding included
  float overlap, score;
  bool clip;
  NmsResult* results;  // scratch [batch, classes * min(per_class, n)]
  float* out_boxes;
  float* out_scores;
  float* out_classes;
  int32_t* out_counts;
};

// One class of one batch entry. `heap` has room for n, `kept` for `most` boxes.
inline void combined_nms_class(const CombinedNmsArgs& args, int64_t unit, int64_t most, NmsScored* heap, NmsBox* kept) {
  const auto less = [](const NmsScored& a, const NmsScored& b) { return a.score < b.score; };
  const int64_t klass = unit % args.classes;
  const float* scores = args.scores + unit / args.classes * args.n * args.classes + klass;
  const int64_t stride = args.sets * 4;
  const float* boxes = args.boxes + unit / args.classes * args.n * stride + (args.sets > 1 ? klass * 4 : 0);
  NmsResult* results = args.results + unit * most;
  for (int64_t k = 0; k < most; ++k) results[k] = {-__builtin_inff(), -1, -1};
  int64_t size = 0;
  for (int64_t i = 0; i < args.n; ++i) {
    const float score = scores[i * args.classes];
    if (score > args.score) heap_push(heap, &size, NmsScored{score, static_cast<int32_t>(i)}, less);
  }
  int64_t count = 0;
  while (count < most && size > 0) {
    const NmsScored next = heap_pop(heap, &size, less);
    const NmsBox box = nms_box(boxes + next.box * stride);
    bool selected = true;
    for (int64_t j = count - 1; selected && j >= 0; --j) selected = !(nms_overlap(box, kept[j]) > args.overlap);
    if (!selected) continue;
    kept[count] = box;
    results[count++] = {next.score, next.box, static_cast<int32_t>(klass)};
  }
}

// The best of all classes of one batch entry, and zeros.
inline void combined_nms_entry(const CombinedNmsArgs& args, int64_t entry, int64_t most) {
  const int64_t all = args.classes * most;
  NmsResult* results = args.results + entry * all;
  intro_sort(results, all, [](const NmsResult& a, const NmsResult& b) { return b.score < a.score; });
  int64_t found = 0;
  for (int64_t i = 0; i < all; ++i) found += results[i].box >= 0;
  const int64_t count = min64(args.total, found);
  args.out_counts[entry] = static_cast<int32_t>(count);
  for (int64_t i = 0; i < args.size; ++i) {
    const int64_t to = entry * args.size + i;
    const bool real = i < count;
    args.out_scores[to] = real ? results[i].score : 0;
    args.out_classes[to] = real ? static_cast<float>(results[i].klass) : 0;
    const int64_t set = args.sets > 1 && real ? results[i].klass : 0;
    for (int64_t k = 0; k < 4; ++k) {
      float corner = 0;
      if (real) corner = args.boxes[((entry * args.n + results[i].box) * args.sets + set) * 4 + k];
      args.out_boxes[4 * to + k] = args.clip ? first_max(first_min(corner, 1.0f), 0.0f) : corner;
    }
  }
}

BLADE_NOINLINE int32_t combined_nms(const BladeRal* ral, const CombinedNmsArgs& args) {
  if (!(args.overlap >= 0 && args.overlap <= 1)) {
    return fail(ral, "non-maximum suppression: the threshold is not in [0, 1]");
  }
  const int64_t most = min64(args.per_class, args.n);
  ScratchPool scratch(ral);
  const int64_t heap_bytes = round_up(args.n * static_cast<int64_t>(sizeof(NmsScored)), 64);
  if (!scratch.allocate(heap_bytes + most * static_cast<int64_t>(sizeof(NmsBox)))) return BLADE_NO_MEMORY;
  parallel_for(ral, args.batch * args.classes, args.n * 4 + most * 200, [&](int64_t begin, int64_t end) {
    const int32_t slot = scratch.acquire();
    NmsScored* heap = reinterpret_cast<NmsScored*>(scratch.data(slot));
    NmsBox* kept = reinterpret_cast<NmsBox*>(scratch.data(slot) + heap_bytes);
    for (int64_t unit = begin; unit < end; ++unit) combined_nms_class(args, unit, most, heap, kept);
    scratch.release(slot);
  });
  parallel_for(ral, args.batch, args.classes * most * 20 + 100, [&](int64_t begin, int64_t end) {
    for (int64_t entry = begin; entry < end; ++entry) combined_nms_entry(args, entry, most);
  });
  return BLADE_OK;
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_NMS_H_
