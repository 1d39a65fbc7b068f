// Helpers around the host's parallel_for.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_PARALLEL_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_PARALLEL_H_

#include <stddef.h>
#include <stdint.h>

#include "../ral.h"
#include "simd.h"

namespace blade {
namespace {

// Calls body(begin, end) over a partition of [0, total), maybe from several threads at once. `cost` is nanoseconds a
// unit. Only the thread that runs the executable may call this (it is a host callback).
template <class Body>
inline void parallel_for(const BladeRal* ral, int64_t total, int64_t cost, const Body& body) {
  if (total <= 0) return;
  if (total == 1 || ral->num_threads <= 1) {
    body(0, total);
    return;
  }
  auto call = [](void* arg, int64_t begin, int64_t end) { (*static_cast<const Body*>(arg))(begin, end); };
  ral->parallel_for(ral->context, total, max64(cost, 1), call, const_cast<Body*>(&body));
}

// Scratch memory of a scope, given back at its end with all that was allocated since.
class Scratch {
 public:
  explicit Scratch(const BladeRal* ral) : ral_(ral) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (memory_ != nullptr) ral_->release(ral_->context, memory_);
  }

  // Called once. NULL when memory is out, or the size is one that overflowed.
  void* allocate(int64_t bytes) {
    if (bytes < 0) return nullptr;
    return memory_ = ral_->alloc(ral_->context, static_cast<size_t>(max64(bytes, 1)));
  }

 private:
  const BladeRal* const ral_;
  void* memory_ = nullptr;
};

// One scratch area for each thread of a parallel loop. The host's callbacks may not be called by workers, so the areas
// are allocated before the loop and a worker borrows a free one.
class ScratchPool {
 public:
  explicit ScratchPool(const BladeRal* ral) : threads_(ral->num_threads < 1 ? 1 : ral->num_threads), memory_(ral) {}

  // Called once. Returns false when memory is out.
  bool allocate(int64_t bytes_each) {
    if (bytes_each < 0 || bytes_each > (int64_t{1} << 62) / threads_) return false;
    bytes_each_ = round_up(max64(bytes_each, 1), 64);
    const int64_t flags = round_up(threads_ * static_cast<int64_t>(sizeof(int32_t)), 64);
    used_ = static_cast<int32_t*>(memory_.allocate(flags + threads_ * bytes_each_));
    if (used_ == nullptr) return false;
    base_ = reinterpret_cast<char*>(used_) + flags;
    for (int32_t i = 0; i < threads_; ++i) used_[i] = 0;
    return true;
  }

  // At most num_threads workers run at once, so the search ends at the first round; it is a loop to be safe.
  int32_t acquire() const {
    for (;;) {
      for (int32_t i = 0; i < threads_; ++i) {
        int32_t expected = 0;
        if (__atomic_compare_exchange_n(&used_[i], &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return i;
      }
      __builtin_ia32_pause();
    }
  }
  void release(int32_t slot) const { __atomic_store_n(&used_[slot], 0, __ATOMIC_RELEASE); }
  char* data(int32_t slot) const { return base_ + slot * bytes_each_; }

 private:
  const int32_t threads_;
  Scratch memory_;
  int64_t bytes_each_ = 0;
  int32_t* used_ = nullptr;
  char* base_ = nullptr;
};

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_PARALLEL_H_
