#include "custom_ops/runtime/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace tf_blade {
namespace {

// Waking a pool thread costs a few microseconds: loops shorter than this stay in the caller.
constexpr int64_t kMinParallelNs = 16000;
// A part should be long against the cost of claiming it, and short against an uneven end.
constexpr int64_t kMinPartNs = 6000;
constexpr int64_t kPartsPerThread = 4;
constexpr int kSpins = 4000;

// Between two requests of a crowd a call is alone for a moment. It must not wake threads that the next request needs.
constexpr int64_t kCrowdNs = 500000;

// In the process: sessions have cores in common even where they have pools of their own.
std::atomic<int> active_calls{0};
// Of the last calls that were not alone: how many there were, and until when that counts.
std::atomic<int> crowd{1};
std::atomic<int64_t> crowd_until_ns{0};

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The call that this thread is in.
thread_local ActiveCall* current_call = nullptr;

// How many calls share the threads.
int Sharers() {
  const int now = active_calls.load(std::memory_order_relaxed);
  if (now != 1 || crowd_until_ns.load(std::memory_order_relaxed) < NowNs()) return std::max(1, now);
  return crowd.load(std::memory_order_relaxed);
}

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// One loop. Pool threads may come late, after the loop is over: the job is counted, and they find nothing to claim.
//
// Each thread has a range of its own and claims parts from its front; when it is used up, from those of others. So
// loops of one shape give a thread the same indices each time, and what it used then may still be in its core's cache
// (a recurrent network's weights, the rows that the kernel before has written).
class LoopJob {
 public:
  LoopJob(int64_t total, int64_t parts, Host::LoopBody body, void* arg, int users)
      : total_(total),
        part_((total + parts - 1) / parts),
        parts_((total + part_ - 1) / part_),
        body_(body),
        arg_(arg),
        users_(users),
        num_ranges_(std::min(users, kMostRanges)) {
    for (int i = 0; i < num_ranges_; ++i) {
      ranges_[i].next = parts_ * i / num_ranges_;
      ranges_[i].end = parts_ * (i + 1) / num_ranges_;
    }
  }

  // `user` is 0 for the caller, and up for the others.
  void Work(int user) {
    int64_t done = 0;
    for (int i = 0; i < num_ranges_; ++i) done += WorkOn(&ranges_[(user + i) % num_ranges_]);
    if (done == 0) return;
    if (finished_.fetch_add(done, std::memory_order_acq_rel) + done == parts_) {
      std::lock_guard<std::mutex> lock(mutex_);
      all_done_.notify_one();
    }
  }

  void Wait() {
    for (int i = 0; i < kSpins; ++i) {
      if (Finished()) return;
      Pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    all_done_.wait(lock, [this] { return Finished(); });
  }

  // The last user's thread frees the job.
  void Release() {
    if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) std::unique_ptr<LoopJob>(this).reset();
  }

 private:
  static constexpr int kMostRanges = 8;

  struct alignas(64) Range {
    std::atomic<int64_t> next;
    int64_t end;
  };

  int64_t WorkOn(Range* range) {
    int64_t done = 0;
    for (;; ++done) {
      const int64_t index = range->next.fetch_add(1, std::memory_order_relaxed);
      if (index >= range->end) return done;
      const int64_t begin = index * part_;
      body_(arg_, begin, std::min(begin + part_, total_));
    }
  }

  bool Finished() const { return finished_.load(std::memory_order_acquire) == parts_; }

  const int64_t total_;
  const int64_t part_;
  const int64_t parts_;
  const Host::LoopBody body_;
  void* const arg_;
  std::atomic<int64_t> finished_{0};
  std::atomic<int> users_;
  const int num_ranges_;
  Range ranges_[kMostRanges];
  std::mutex mutex_;
  std::condition_variable all_done_;
};

}  // namespace

ActiveCall::ActiveCall() : outer_(current_call) { current_call = this; }

ActiveCall::~ActiveCall() {
  current_call = outer_;
  if (joined_) active_calls.fetch_sub(1, std::memory_order_relaxed);
}

void ActiveCall::Join() {
  if (joined_) return;
  joined_ = true;
  const int now = active_calls.fetch_add(1, std::memory_order_relaxed) + 1;
  if (now == 1) return;
  crowd.store(now, std::memory_order_relaxed);
  crowd_until_ns.store(NowNs() + kCrowdNs, std::memory_order_relaxed);
}

void ParallelFor(ThreadPool& pool, int64_t total, int64_t cost_ns, Host::LoopBody body, void* arg) {
  if (total <= 0) return;
  int64_t work;
  if (__builtin_mul_overflow(total, std::max<int64_t>(cost_ns, 1), &work)) work = INT64_MAX;
  int64_t threads = std::min<int64_t>({pool.NumThreads(), total, work / kMinPartNs});
  if (threads > 1 && work >= kMinParallelNs) {
    if (current_call != nullptr) current_call->Join();
    const int sharers = Sharers();
    threads = std::min<int64_t>(threads, (pool.NumThreads() + sharers - 1) / sharers);
  }
  if (threads <= 1 || work < kMinParallelNs) {
    body(arg, 0, total);
    return;
  }
  const int64_t parts = std::min({total, threads * kPartsPerThread, std::max(threads, work / kMinPartNs)});
  LoopJob* job = std::make_unique<LoopJob>(total, parts, body, arg, static_cast<int>(threads)).release();
  for (int64_t i = 1; i < threads; ++i) {
    pool.Schedule([job, i] {
      job->Work(static_cast<int>(i));
      job->Release();
    });
  }
  job->Work(0);
  job->Wait();
  job->Release();
}

}  // namespace tf_blade
