// Which shapes an engine is called with: a count for each combination of its symbols' magnitudes.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_SHAPE_HISTOGRAM_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_SHAPE_HISTOGRAM_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace tf_blade {

// A symbol's magnitude is the least of 0, 1, 2, 4, 8, ... that is not below its value. Free of locks, of fixed size:
// combinations beyond `kBuckets`, and symbols beyond `kSymbols`, are not told apart.
class ShapeHistogram {
 public:
  static constexpr size_t kSymbols = 9;
  static constexpr size_t kBuckets = 64;

  struct Bucket {
    std::vector<int64_t> up_to;  // by symbol; -1: unknown when the call begins. Empty: all shapes not told apart
    int64_t calls;
  };

  void Add(absl::Span<const int64_t> symbols);
  std::vector<Bucket> Buckets() const;
  void Clear();

 private:
  struct Entry {
    std::atomic<uint64_t> key{0};  // 0: free
    std::atomic<int64_t> calls{0};
  };

  std::array<Entry, kBuckets> entries_;
  std::atomic<int64_t> others_{0};
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_SHAPE_HISTOGRAM_H_
