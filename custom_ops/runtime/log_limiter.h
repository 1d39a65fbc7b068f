// Says when a repeating message may be logged: the first time, then at most once a minute.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_LOG_LIMITER_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_LOG_LIMITER_H_

#include <atomic>
#include <cstdint>

namespace tf_blade {

class LogLimiter {
 public:
  static constexpr int64_t kIntervalNs = 60'000'000'000;

  // `now_ns` comes from any clock that does not go back. Sets *suppressed to the messages held back since the last.
  bool Allow(int64_t now_ns, int64_t* suppressed) {
    int64_t next = next_ns_.load(std::memory_order_relaxed);
    if (now_ns < next || !next_ns_.compare_exchange_strong(next, now_ns + kIntervalNs, std::memory_order_relaxed)) {
      suppressed_.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    *suppressed = suppressed_.exchange(0, std::memory_order_relaxed);
    return true;
  }

 private:
  std::atomic<int64_t> next_ns_{INT64_MIN};
  std::atomic<int64_t> suppressed_{0};
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_LOG_LIMITER_H_
