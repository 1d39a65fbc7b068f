// The runtime's lock-free and threaded parts under load, for the thread sanitizer. Prints what fails; exits with 1
// then.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "custom_ops/runtime/breaker.h"
#include "custom_ops/runtime/log_limiter.h"
#include "custom_ops/runtime/memory.h"
#include "custom_ops/runtime/parallel.h"
#include "custom_ops/runtime/slot_pool.h"

namespace {

using tf_blade::ParallelFor;

int failures = 0;

void Expect(bool condition, const char* what) {
  if (condition) return;
  std::printf("failed: %s\n", what);
  ++failures;
}

// Runs each task in a thread of its own, after a delay: the worst pool there is. NumThreads is what it claims.
class SlowPool : public tf_blade::ThreadPool {
 public:
  SlowPool(int threads, int delay_us) : claimed_(threads), delay_us_(delay_us) {}
  ~SlowPool() override { Join(); }
  int NumThreads() const override { return claimed_; }
  void Schedule(std::function<void()> task) override {
    ++scheduled_;
    threads_.emplace_back([this, task = std::move(task)] {
      std::this_thread::sleep_for(std::chrono::microseconds(delay_us_));
      task();
    });
  }
  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  int scheduled() const { return scheduled_; }

 private:
  const int claimed_;
  const int delay_us_;
  int scheduled_ = 0;
  std::vector<std::thread> threads_;
};

void Increment(void* arg, int64_t begin, int64_t end) {
  auto* counts = static_cast<std::vector<int>*>(arg);
  for (int64_t i = begin; i < end; ++i) ++(*counts)[i];
}

// Each index exactly once, whatever the pool does and however the work is split.
void TestParallelForCoversTheRange() {
  for (const int delay_us : {0, 50, 2000}) {
    for (const int threads : {1, 2, 7}) {
      SlowPool pool(threads, delay_us);
      for (const int64_t total : {0, 1, 2, 3, 7, 64, 1000}) {
        for (const int64_t cost : {int64_t{0}, int64_t{100}, int64_t{100000}, INT64_MAX}) {
          std::vector<int> counts(total, 0);
          ParallelFor(pool, total, cost, Increment, &counts);
          bool once = true;
          for (const int count : counts) once = once && count == 1;
          Expect(once, "each index exactly once");
        }
      }
    }
  }
}

// The caller is done when the work is, even if no pool thread ever comes in time.
void TestParallelForDoesNotWaitForABusyPool() {
  SlowPool pool(4, 300000);
  std::vector<int> counts(8, 0);
  const auto begin = std::chrono::steady_clock::now();
  ParallelFor(pool, 8, 100000, Increment, &counts);
  const auto elapsed = std::chrono::steady_clock::now() - begin;
  Expect(elapsed < std::chrono::milliseconds(200), "the caller does the work of threads that are late");
  Expect(pool.scheduled() == 3, "a long loop asks for the pool's threads");
}

void TestLittleWorkStaysInTheCaller() {
  SlowPool pool(4, 0);
  std::vector<int> counts(100, 0);
  ParallelFor(pool, 100, 10, Increment, &counts);
  Expect(pool.scheduled() == 0, "a microsecond of work is not spread");
}

struct Item {
  std::atomic<int> users{0};
};

void TestSlotPoolGivesAnObjectToOneUserAtATime() {
  tf_blade::SlotPool<Item, 3> pool;
  std::atomic<bool> shared{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&pool, &shared, t] {
      for (int i = 0; i < 3000; ++i) {
        std::unique_ptr<Item> item = pool.Take();
        if (item == nullptr) item = std::make_unique<Item>();
        if (item->users.fetch_add(1) != 0) shared = true;
        item->users.fetch_sub(1);
        pool.Give(std::move(item));
        if (t == 0 && i % 50 == 0) pool.ForEachIdle([&shared](Item& idle) { shared = shared || idle.users != 0; });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Expect(!shared, "no object with two users");
}

void TestArena() {
  tf_blade::ScratchArena arena;
  for (int round = 0; round < 4; ++round) {
    std::vector<char*> blocks;
    for (const size_t size : {size_t{1}, size_t{100}, size_t{5000}, size_t{0}, size_t{9} << 20}) {
      auto* block = static_cast<char*>(arena.Allocate(size));
      Expect(block != nullptr && reinterpret_cast<uintptr_t>(block) % 64 == 0, "aligned memory");
      std::memset(block, round, size);
      for (char* other : blocks) Expect(other != block, "memory of its own");
      blocks.push_back(block);
    }
    arena.Reset();
    arena.BecomeIdle();
    arena.BecomeBusy();
  }
  Expect(arena.Allocate(SIZE_MAX) == nullptr, "no memory beyond the address space");
  Expect(arena.Allocate(SIZE_MAX / 2) == nullptr, "no memory beyond the machine's");
}

void TestBreaker() {
  tf_blade::Breaker breaker;
  constexpr int64_t kSecond = 1000000000;
  for (int i = 1; i < 5; ++i) Expect(!breaker.Failure(0) && !breaker.IsOpen(0), "closed before the fifth failure");
  Expect(breaker.Failure(0) && breaker.IsOpen(kSecond - 1) && !breaker.IsOpen(kSecond), "open for a second");
  Expect(breaker.Failure(kSecond) && breaker.IsOpen(3 * kSecond - 1) && !breaker.IsOpen(3 * kSecond), "then for two");
  for (int i = 0; i < 100; ++i) breaker.Failure(0);
  Expect(breaker.IsOpen(299 * kSecond) && !breaker.IsOpen(300 * kSecond), "for five minutes at most");
  breaker.Success();
  Expect(!breaker.IsOpen(0) && !breaker.Troubled(), "closed by a success");
}

void TestLogLimiter() {
  tf_blade::LogLimiter limiter;
  int64_t suppressed = -1;
  Expect(limiter.Allow(5, &suppressed) && suppressed == 0, "the first message");
  Expect(!limiter.Allow(6, &suppressed) && !limiter.Allow(7, &suppressed), "not within a minute");
  Expect(limiter.Allow(5 + limiter.kIntervalNs, &suppressed) && suppressed == 2, "again after a minute");
}

}  // namespace

int main() {
  TestParallelForCoversTheRange();
  TestParallelForDoesNotWaitForABusyPool();
  TestLittleWorkStaysInTheCaller();
  TestSlotPoolGivesAnObjectToOneUserAtATime();
  TestArena();
  TestBreaker();
  TestLogLimiter();
  if (failures == 0) std::printf("passed\n");
  return failures == 0 ? 0 : 1;
}
