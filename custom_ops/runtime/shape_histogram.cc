#include "custom_ops/runtime/shape_histogram.h"

#include <algorithm>

namespace tf_blade {
namespace {

constexpr int kBits = 7;
constexpr uint64_t kUnknown = 127;

// 0 for 0, else one more than the exponent of the least power of two that is not below the value.
uint64_t MagnitudeOf(int64_t value) {
  if (value < 0) return kUnknown;
  if (value <= 1) return static_cast<uint64_t>(value);
  return 65 - __builtin_clzll(static_cast<uint64_t>(value - 1));
}

int64_t UpTo(uint64_t magnitude) {
  if (magnitude == kUnknown) return -1;
  if (magnitude == 0) return 0;
  return magnitude > 63 ? INT64_MAX : int64_t{1} << (magnitude - 1);
}

// Each symbol's magnitude in seven bits, below them a mark of the number of symbols: never 0.
uint64_t KeyOf(absl::Span<const int64_t> symbols) {
  uint64_t key = 1;
  for (size_t i = 0; i < std::min(symbols.size(), ShapeHistogram::kSymbols); ++i) {
    key = key << kBits | MagnitudeOf(symbols[i]);
  }
  return key;
}

ShapeHistogram::Bucket BucketOf(uint64_t key, int64_t calls) {
  ShapeHistogram::Bucket bucket{{}, calls};
  for (; key > 1; key >>= kBits) bucket.up_to.push_back(UpTo(key & kUnknown));
  std::reverse(bucket.up_to.begin(), bucket.up_to.end());
  return bucket;
}

}  // namespace

void ShapeHistogram::Add(absl::Span<const int64_t> symbols) {
  const uint64_t key = KeyOf(symbols);
  // Open addressing: a key is never removed, so it is found where it was put.
  size_t at = (key * 0x9e3779b97f4a7c15u) >> 58;
  for (size_t probe = 0; probe < kBuckets; ++probe, at = (at + 1) % kBuckets) {
    Entry& entry = entries_[at];
    uint64_t found = entry.key.load(std::memory_order_relaxed);
    if (found == 0 && entry.key.compare_exchange_strong(found, key, std::memory_order_relaxed)) found = key;
    if (found != key) continue;
    entry.calls.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  others_.fetch_add(1, std::memory_order_relaxed);
}

std::vector<ShapeHistogram::Bucket> ShapeHistogram::Buckets() const {
  std::vector<Bucket> buckets;
  for (const Entry& entry : entries_) {
    const int64_t calls = entry.calls.load(std::memory_order_relaxed);
    if (calls > 0) buckets.push_back(BucketOf(entry.key.load(std::memory_order_relaxed), calls));
  }
  std::sort(buckets.begin(), buckets.end(), [](const Bucket& a, const Bucket& b) { return a.up_to < b.up_to; });
  const int64_t others = others_.load(std::memory_order_relaxed);
  if (others > 0) buckets.push_back({{}, others});
  return buckets;
}

void ShapeHistogram::Clear() {
  for (Entry& entry : entries_) entry.calls.store(0, std::memory_order_relaxed);
  others_.store(0, std::memory_order_relaxed);
}

}  // namespace tf_blade
