// Parallel loops on a thread pool that is someone else's.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_PARALLEL_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_PARALLEL_H_

#include <cstdint>
#include <functional>

#include "custom_ops/runtime/engine.h"

namespace tf_blade {

class ThreadPool {
 public:
  virtual ~ThreadPool() = default;
  // The threads that a loop may use, the caller's included.
  virtual int NumThreads() const = 0;
  virtual void Schedule(std::function<void()> task) = 0;
};

// A call of an engine in this thread, as long as it runs. Calls at the same time share the threads: each one's loops
// use its share, rounded up, so that as many calls as there are threads keep to themselves, and none wakes threads that
// work for others. A call counts, in the whole process, from its first loop that is long enough for several threads;
// one that is alone again after others gets all threads half a millisecond later.
class ActiveCall {
 public:
  ActiveCall();
  ~ActiveCall();
  ActiveCall(const ActiveCall&) = delete;
  ActiveCall& operator=(const ActiveCall&) = delete;

  // From here on it takes its share.
  void Join();

 private:
  ActiveCall* const outer_;
  bool joined_ = false;
};

// Calls body(arg, begin, end) over a partition of [0, total) and returns when all of it is done. The caller works too
// and waits only for parts that a pool thread has begun, so a busy pool delays nobody and nothing can deadlock. Loops
// of little work (total * cost_ns nanoseconds) run in the caller alone.
void ParallelFor(ThreadPool& pool, int64_t total, int64_t cost_ns, Host::LoopBody body, void* arg);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_PARALLEL_H_
