// Keeps an engine that fails again and again from costing every call a failed attempt.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_BREAKER_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_BREAKER_H_

#include <atomic>
#include <cstdint>

namespace tf_blade {

// After `kThreshold` failures in a row the breaker opens for a second; each failure after that opens it for twice as
// long, up to `kMaxOpenNs`. A success closes it and forgets. Times are the caller's, in nanoseconds, from any clock
// that does not go back. Free of locks; under contention the count may be off by a few, which only shifts the moment.
class Breaker {
 public:
  static constexpr int kThreshold = 5;
  static constexpr int64_t kFirstOpenNs = 1'000'000'000;
  static constexpr int64_t kMaxOpenNs = 300 * kFirstOpenNs;

  // Whether any failure is on record: only then is the time of interest.
  bool Troubled() const { return failures_.load(std::memory_order_relaxed) != 0; }

  bool IsOpen(int64_t now_ns) const {
    return failures_.load(std::memory_order_relaxed) >= kThreshold &&
           now_ns < open_until_ns_.load(std::memory_order_relaxed);
  }

  void Success() {
    if (Troubled()) failures_.store(0, std::memory_order_relaxed);
  }

  // Returns whether this failure opened the breaker.
  bool Failure(int64_t now_ns) {
    const int failures = failures_.fetch_add(1, std::memory_order_relaxed) + 1;
    if (failures < kThreshold) return false;
    const int doublings = failures - kThreshold;
    const int64_t open_ns =
        doublings >= 9 || (kFirstOpenNs << doublings) > kMaxOpenNs ? kMaxOpenNs : kFirstOpenNs << doublings;
    open_until_ns_.store(now_ns + open_ns, std::memory_order_relaxed);
    if (failures > kThreshold + 16) failures_.store(kThreshold + 16, std::memory_order_relaxed);
    return true;
  }

 private:
  std::atomic<int> failures_{0};
  std::atomic<int64_t> open_until_ns_{0};
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_BREAKER_H_
