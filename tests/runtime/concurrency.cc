// The runtime's lock-free and threaded parts under load, for the thread sanitizer. Prints what fails; exits with 1
// then.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "custom_ops/runtime/breaker.h"
#include "custom_ops/runtime/log_limiter.h"
#include "custom_ops/runtime/memory.h"
#include "custom_ops/runtime/parallel.h"
#include "custom_ops/runtime/shape_histogram.h"
#include "custom_ops/runtime/slot_pool.h"
#include "custom_ops/runtime/weak_cache.h"

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
    for (const int threads : {1, 2, 7, 19}) {
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

// Threads that all come in time begin at ranges of their own: none begins where another has been.
void TestThreadsBeginFarApart() {
  SlowPool pool(2, 0);
  struct Starts {
    std::thread::id caller = std::this_thread::get_id();
    std::atomic<int64_t> first[2] = {-1, -1};
    std::atomic<int> here{0};
  };
  for (int round = 0; round < 3; ++round) {
    Starts starts;
    auto body = [](void* arg, int64_t begin, int64_t) {
      auto* all = static_cast<Starts*>(arg);
      int64_t none = -1;
      if (!all->first[all->caller != std::this_thread::get_id()].compare_exchange_strong(none, begin)) return;
      // The first part lasts until the other thread has one too.
      ++all->here;
      while (all->here < 2) std::this_thread::yield();
    };
    ParallelFor(pool, 80, 100000, body, &starts);
    Expect(starts.first[0] == 0 && starts.first[1] == 40, "each thread begins at a range of its own");
  }
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

void TestCallsAtTheSameTimeShareTheThreads() {
  class Counting : public tf_blade::ThreadPool {
   public:
    int NumThreads() const override { return 4; }
    void Schedule(std::function<void()> task) override {
      ++tasks;
      task();
    }
    int tasks = 0;
  };
  const auto woken = [] {
    Counting pool;
    std::vector<int> counts(64, 0);
    ParallelFor(pool, 64, 100000, Increment, &counts);
    Expect(counts == std::vector<int>(64, 1), "each index once");
    return pool.tasks;
  };
  {
    const tf_blade::ActiveCall one;
    Expect(woken() == 3, "a call alone has all threads");
    {
      const tf_blade::ActiveCall serial;
      tf_blade::ActiveCall two;
      Expect(woken() == 1, "two calls have half of them each; one that has no long loop does not count");
      tf_blade::ActiveCall three;
      Expect(woken() == 1, "shares are rounded up");
      tf_blade::ActiveCall four;
      Expect(woken() == 0, "as many calls as threads keep to themselves");
    }
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const tf_blade::ActiveCall later;
  Expect(woken() == 3, "a call after a crowd is alone again");
}

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

using tf_blade::Breaker;
constexpr int64_t kSecond = 1000000000;

void TestBreaker() {
  using Admission = Breaker::Admission;
  Breaker breaker;
  for (int i = 1; i < 5; ++i) Expect(!breaker.Failure(0, false), "closed before the fifth failure");
  breaker.Success(false);
  for (int i = 1; i < 5; ++i) Expect(!breaker.Failure(0, false), "a success forgets failures");
  Expect(breaker.Admit(0) == Admission::kYes && breaker.StateAt(0) == Breaker::State::kClosed,
         "closed: all go through");
  Expect(breaker.Failure(0, false) && breaker.StateAt(0) == Breaker::State::kOpen, "the fifth failure opens it");
  for (int i = 0; i < 9; ++i) Expect(!breaker.Failure(0, false), "calls that began before do not count");
  breaker.Success(false);
  Expect(breaker.Admit(kSecond - 1) == Admission::kNo, "open for a second");
  Expect(breaker.Admit(kSecond) == Admission::kProbe && breaker.Admit(kSecond) == Admission::kNo, "then one probe");
  Expect(breaker.StateAt(kSecond) == Breaker::State::kHalfOpen, "half open");
  Expect(breaker.Failure(kSecond, true) && breaker.Admit(3 * kSecond - 1) == Admission::kNo, "then for two seconds");
  Expect(breaker.Admit(3 * kSecond) == Admission::kProbe, "the second probe");
  breaker.Withdraw(3 * kSecond);
  Expect(breaker.Admit(3 * kSecond) == Admission::kProbe, "a probe that tells nothing leaves its place to the next");
  Expect(breaker.Admit(64 * kSecond) == Admission::kProbe, "and so does one that never comes back");
  for (int i = 0; i < 100; ++i) breaker.Failure(0, true);
  Expect(breaker.Admit(299 * kSecond) == Admission::kNo, "for five minutes at most");
  Expect(breaker.Admit(300 * kSecond) == Admission::kProbe, "five minutes are over");
  breaker.Success(true);
  Expect(breaker.Admit(0) == Admission::kYes && !breaker.Troubled(), "closed by a probe's success");
}

void TestBreakerOpensForDrifts() {
  Breaker breaker;
  breaker.Drift(0, false), breaker.Drift(0, false), breaker.Agreement(false);
  for (int i = 1; i < 3; ++i) Expect(!breaker.Drift(0, false), "closed before the third drift");
  for (int i = 0; i < 9; ++i) breaker.Success(false);
  Expect(breaker.Drift(0, false) && breaker.StateAt(0) == Breaker::State::kOpen, "successes do not make up for drifts");
  Expect(breaker.Admit(kSecond) == Breaker::Admission::kProbe && breaker.Drift(kSecond, true), "a probe that drifts");
  Expect(breaker.Admit(3 * kSecond - 1) == Breaker::Admission::kNo, "opens it for longer");
}

// However many ask at once, one of them is the probe.
void TestBreakerHasOneProbe() {
  for (int round = 0; round < 50; ++round) {
    Breaker breaker;
    for (int i = 0; i < 5; ++i) breaker.Failure(0, false);
    std::atomic<int> probes{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] { probes += breaker.Admit(2 * kSecond) == Breaker::Admission::kProbe; });
    }
    for (std::thread& thread : threads) thread.join();
    Expect(probes == 1, "one probe");
  }
}

struct Counted {
  explicit Counted(std::atomic<int>* count) : living(count) { ++*living; }
  ~Counted() { --*living; }
  std::atomic<int>* const living;
};

void TestSlotPoolGrowsAndShrinks() {
  std::atomic<int> living{0};
  tf_blade::SlotPool<Counted, 8> pool;
  const auto use_at_once = [&](int users) {
    std::vector<std::unique_ptr<Counted>> taken;
    for (int i = 0; i < users; ++i) {
      taken.push_back(pool.Take());
      if (taken.back() == nullptr) taken.back() = std::make_unique<Counted>(&living);
    }
    for (auto& object : taken) pool.Give(std::move(object));
  };
  use_at_once(6);
  Expect(living == 6, "as many objects as users");
  use_at_once(20);
  Expect(living == 8, "no more are kept than there are slots");
  for (int i = 0; i < 3 * pool.kWindow; ++i) use_at_once(2);
  Expect(living == 2, "those that nobody needs any more are destroyed");
  use_at_once(1);
  pool.Take();
  pool.Give(nullptr);
  Expect(living == 1, "an object that does not come back");
}

void TestSlotPoolWithoutMemory() {
  std::atomic<int> living{0};
  tf_blade::SlotPool<Counted, 2> pool;
  int refused = 0;
  for (int i = 0; i < 3; ++i) {
    try {
      pool.TakeOrMake([]() -> std::unique_ptr<Counted> { throw std::bad_alloc(); });
    } catch (const std::bad_alloc&) {
      ++refused;
    }
  }
  Expect(refused == 3 && pool.busy() == 0, "who gets no object takes no place");
  pool.Give(pool.TakeOrMake([&living] { return std::make_unique<Counted>(&living); }));
  Expect(living == 1 && pool.busy() == 0, "the place is free for the next one");
  std::unique_ptr<Counted> idle = pool.TakeOrMake([]() -> std::unique_ptr<Counted> { throw std::bad_alloc(); });
  Expect(idle != nullptr && pool.busy() == 1, "an idle object needs no memory");
  pool.Give(std::move(idle));
}

void TestArenaReleases() {
  tf_blade::ScratchArena arena;
  const auto call = [&arena] {
    auto* const kept = static_cast<char*>(arena.Allocate(1000));
    memset(kept, 1, 1000);
    for (int step = 1; step <= 20; ++step) {
      void* const outer = arena.Allocate(64 * step);
      auto* const inner = static_cast<char*>(arena.Allocate(10000));
      Expect(outer != kept && outer != nullptr && inner != nullptr, "memory");
      memset(outer, 2, 64 * step);
      memset(inner, 3, 10000);
      if (step % 2 == 0) arena.Release(inner);
      arena.Release(outer);
    }
    Expect(std::count(kept, kept + 1000, 1) == 1000, "what was not released stays");
    arena.Reset();
  };
  call();
  const size_t needed = arena.capacity();
  Expect(needed >= 1000 + 20 * 64 + 10000 && needed <= 1024 + 20 * 64 + 10048, "as much as was in use at once");
  call();
  Expect(arena.capacity() == needed, "the second call fits");
  void* const first = arena.Allocate(64);
  void* const large = arena.Allocate(size_t{1} << 20);
  arena.Release(large);
  Expect(arena.Allocate(64) == static_cast<char*>(first) + 64, "released overflow makes room in the arena again");
  arena.Release(first);
  Expect(arena.Allocate(64) == first, "and what is released is given again");
}

void TestArenaShrinks() {
  tf_blade::ScratchArena arena;
  const auto call = [&arena](size_t bytes) {
    Expect(arena.Allocate(bytes) != nullptr, "memory");
    arena.Reset();
  };
  call(size_t{64} << 20);
  Expect(arena.capacity() >= size_t{64} << 20, "the arena keeps what a call needed");
  for (int i = 0; i < 2 * arena.kWindow; ++i) call(i % 8 == 0 ? size_t{40} << 20 : 1000);
  Expect(arena.capacity() >= size_t{64} << 20, "calls of different sizes do not make it shrink");
  for (int i = 0; i < 2 * arena.kWindow; ++i) call(1000);
  Expect(arena.capacity() > 0 && arena.capacity() < size_t{1} << 20, "many small calls do");
}

// Calls in turn find the memory of the one before, whatever their engine; calls at once have each their own.
void TestArenasAreShared() {
  const auto held = [] { return tf_blade::ScratchBytes(); };
  const int64_t before = held();
  for (int turn = 0; turn < 20; ++turn) {
    auto arena = tf_blade::BorrowArena();
    Expect(arena->busy_peak() == 0, "the peak is this call's");
    Expect(arena->Allocate(size_t{4} << 20) != nullptr, "memory");
    arena->Reset();
    Expect(arena->busy_peak() == size_t{4} << 20, "what the call needed");
    tf_blade::ReturnArena(std::move(arena));
    Expect(held() == before + (int64_t{4} << 20), "one arena for all that come in turn");
  }
  std::vector<std::unique_ptr<tf_blade::ScratchArena>> arenas;
  for (int i = 0; i < 3; ++i) {
    arenas.push_back(tf_blade::BorrowArena());
    Expect(arenas.back()->Allocate(size_t{4} << 20) != nullptr, "memory");
    arenas.back()->Reset();
  }
  Expect(held() == before + (int64_t{12} << 20), "one for each at once");
  for (auto& arena : arenas) tf_blade::ReturnArena(std::move(arena));
  for (int i = 0; i < 1000; ++i) tf_blade::ReturnArena(tf_blade::BorrowArena());
  Expect(held() <= before + (int64_t{4} << 20), "what is not needed any more is freed");
  const auto borrowed = tf_blade::BorrowArena();
  Expect(borrowed->Allocate(size_t{1} << 20) != nullptr, "memory");
  borrowed->Reset();
  tf_blade::FreeIdleArenas();
  Expect(held() == static_cast<int64_t>(borrowed->capacity()), "nothing is left but what a call has");
}

using IntCache = tf_blade::WeakCache<int, int>;

// Many ask for one value at once: it is made once, and made again after all have dropped it.
void TestWeakCacheMakesOnce() {
  IntCache cache;
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> made{0};
    std::vector<std::thread> threads;
    std::vector<IntCache::Result> results(6, absl::UnknownError(""));
    for (auto& result : results) {
      threads.emplace_back([&cache, &made, &result] {
        result = cache.GetOrMake(7, [&made]() -> IntCache::Result {
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
          return std::make_shared<const int>(++made);
        });
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& result : results) Expect(result.ok() && **result == 1, "all get the value that one made");
  }
}

// What throws becomes an error for everyone who waits, and the next one makes it after all.
void TestWeakCacheSurvivesExceptions() {
  IntCache cache;
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, &failed] {
      const auto result = cache.GetOrMake(1, []() -> IntCache::Result {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        throw std::bad_alloc();
      });
      failed += result.status().code() == absl::StatusCode::kResourceExhausted;
    });
  }
  for (std::thread& thread : threads) thread.join();
  Expect(failed == 4, "no memory for anyone");
  const auto odd = cache.GetOrMake(1, []() -> IntCache::Result { throw 3; });
  Expect(odd.status().code() == absl::StatusCode::kInternal, "an exception of any type");
  const auto value = cache.GetOrMake(1, []() -> IntCache::Result { return std::make_shared<const int>(5); });
  Expect(value.ok() && **value == 5, "made at the next attempt");
}

void TestShapeHistogram() {
  tf_blade::ShapeHistogram histogram;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&histogram] {
      for (int64_t i = 0; i < 1000; ++i) histogram.Add({i % 4 + 5, 128});
      histogram.Add({0, -1});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto buckets = histogram.Buckets();
  Expect(buckets.size() == 2 && buckets[0].up_to == std::vector<int64_t>({0, -1}) && buckets[0].calls == 4, "unknown");
  Expect(buckets[1].up_to == std::vector<int64_t>({8, 128}) && buckets[1].calls == 4000, "powers of two");
  for (int64_t exponent = 0; exponent < 63; ++exponent) histogram.Add({int64_t{1} << exponent, exponent});
  for (int64_t exponent = 0; exponent < 63; ++exponent) histogram.Add({int64_t{1} << exponent, 1 << 20});
  int64_t calls = 0;
  for (const auto& bucket : histogram.Buckets()) calls += bucket.calls;
  Expect(calls == 4004 + 126 && histogram.Buckets().back().up_to.empty(), "what does not fit is counted all the same");
}

void TestLogLimiter() {
  tf_blade::LogLimiter limiter;
  int64_t suppressed = -1;
  Expect(limiter.Allow(5, &suppressed) && suppressed == 0, "the first message");
  Expect(!limiter.Allow(6, &suppressed) && !limiter.Allow(7, &suppressed), "not within a minute");
  Expect(limiter.Allow(5 + limiter.kIntervalNs, &suppressed) && suppressed == 2, "again after a minute");
}

// Defects that sanitizers must find, to show that they are at work.
void Commit(const std::string& defect) {
  static int shared = INT32_MAX - 1000;
  if (defect == "race") {
    std::thread other([] { ++shared; });
    ++shared;
    other.join();
  }
  if (defect == "overflow") {
    volatile size_t size = 20;
    std::memset(std::make_unique<char[]>(size - 5).get(), 1, size);
  }
  if (defect == "undefined") {
    for (int i = 0; i < 2000; ++i) ++shared;
  }
  std::printf("%d\n", shared);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    Commit(argv[1]);
    return 0;
  }
  TestParallelForCoversTheRange();
  TestParallelForDoesNotWaitForABusyPool();
  TestCallsAtTheSameTimeShareTheThreads();
  TestThreadsBeginFarApart();
  TestLittleWorkStaysInTheCaller();
  TestSlotPoolGivesAnObjectToOneUserAtATime();
  TestArena();
  TestArenaReleases();
  TestArenaShrinks();
  TestArenasAreShared();
  TestSlotPoolGrowsAndShrinks();
  TestSlotPoolWithoutMemory();
  TestWeakCacheMakesOnce();
  TestWeakCacheSurvivesExceptions();
  TestShapeHistogram();
  TestBreaker();
  TestBreakerOpensForDrifts();
  TestBreakerHasOneProbe();
  TestLogLimiter();
  if (failures == 0) std::printf("passed\n");
  return failures == 0 ? 0 : 1;
}
