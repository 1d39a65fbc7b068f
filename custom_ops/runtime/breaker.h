// Keeps an engine that fails again and again from costing every call a failed attempt.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_BREAKER_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_BREAKER_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace tf_blade {

// Closed, calls go through. After `kThreshold` failures in a row, or `kDriftThreshold` drifts, it opens for a second:
// no call goes through. Then it is half open: one call, the probe, goes through, while all others stay away. A probe
// that succeeds closes it; one that fails opens it for twice as long as before, up to `kMaxOpenNs`. What calls find
// that began before it opened changes nothing.
//
// Times are the caller's, in nanoseconds, from any clock that does not go back. Free of locks; under contention the
// count may be off by a few, which only shifts the moment.
class Breaker {
 public:
  static constexpr int kThreshold = 5;
  static constexpr int kDriftThreshold = 3;
  static constexpr int64_t kFirstOpenNs = 1'000'000'000;
  static constexpr int64_t kMaxOpenNs = 300 * kFirstOpenNs;
  // A probe that has not come back by then is given up: the next call is one.
  static constexpr int64_t kProbePatienceNs = 60 * kFirstOpenNs;

  enum class State { kClosed, kOpen, kHalfOpen };
  enum class Admission { kYes, kProbe, kNo };

  // Whether it is open or half open: only then is the time of interest.
  bool Troubled() const { return openings_.load(std::memory_order_acquire) != 0; }

  Admission Admit(int64_t now_ns) {
    if (!Troubled()) return Admission::kYes;
    int64_t until = open_until_ns_.load(std::memory_order_relaxed);
    if (now_ns < until) return Admission::kNo;
    const bool first =
        open_until_ns_.compare_exchange_strong(until, now_ns + kProbePatienceNs, std::memory_order_relaxed);
    if (first) probing_.store(true, std::memory_order_relaxed);
    return first ? Admission::kProbe : Admission::kNo;
  }

  void Success(bool probe) {
    if (probe) {
      failures_.store(0, std::memory_order_relaxed);
      drifts_.store(0, std::memory_order_relaxed);
      probing_.store(false, std::memory_order_relaxed);
      openings_.store(0, std::memory_order_release);
    } else if (failures_.load(std::memory_order_relaxed) != 0 && !Troubled()) {
      failures_.store(0, std::memory_order_relaxed);
    }
  }

  // Returns whether this failure opened the breaker.
  bool Failure(int64_t now_ns, bool probe) { return Strike(now_ns, probe, &failures_, kThreshold); }

  // A result that is not TensorFlow's, found by comparing. Between two of them there may be any number of successes
  // that nobody compared; only Agreement forgets them.
  bool Drift(int64_t now_ns, bool probe) { return Strike(now_ns, probe, &drifts_, kDriftThreshold); }
  void Agreement(bool probe) {
    drifts_.store(0, std::memory_order_relaxed);
    Success(probe);
  }

  // The probe ended without telling anything about the engine: the next call is one.
  void Withdraw(int64_t now_ns) {
    probing_.store(false, std::memory_order_relaxed);
    open_until_ns_.store(now_ns, std::memory_order_relaxed);
  }

  State StateAt(int64_t now_ns) const {
    if (!Troubled()) return State::kClosed;
    const bool waiting = now_ns < open_until_ns_.load(std::memory_order_relaxed);
    return waiting && !probing_.load(std::memory_order_relaxed) ? State::kOpen : State::kHalfOpen;
  }

 private:
  bool Strike(int64_t now_ns, bool probe, std::atomic<int>* strikes, int threshold) {
    if (probe) {
      const int openings = std::min(openings_.load(std::memory_order_relaxed) + 1, 16);
      const int64_t open_ns = std::min(kFirstOpenNs << (openings - 1), kMaxOpenNs);
      open_until_ns_.store(now_ns + open_ns, std::memory_order_relaxed);
      probing_.store(false, std::memory_order_relaxed);
      openings_.store(openings, std::memory_order_release);
      return true;
    }
    if (Troubled() || strikes->fetch_add(1, std::memory_order_relaxed) + 1 < threshold) return false;
    open_until_ns_.store(now_ns + kFirstOpenNs, std::memory_order_relaxed);
    int closed = 0;
    return openings_.compare_exchange_strong(closed, 1, std::memory_order_release);
  }

  std::atomic<int> failures_{0};  // in a row
  std::atomic<int> drifts_{0};    // in a row, of the calls that were compared
  std::atomic<int> openings_{0};  // since it was closed
  std::atomic<bool> probing_{false};
  std::atomic<int64_t> open_until_ns_{0};
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_BREAKER_H_
