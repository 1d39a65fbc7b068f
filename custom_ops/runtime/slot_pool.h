// A pool of objects without locks: a few slots, each empty or holding one idle object.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_SLOT_POOL_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_SLOT_POOL_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace tf_blade {

// Keeps as many objects as were in use at once lately: those that the last two windows of `kWindow` uses did not need
// are destroyed, and none is kept beyond `kSlots`.
template <typename T, size_t kSlots = 64>
class SlotPool {
 public:
  static constexpr int kWindow = 256;

  SlotPool() = default;
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;
  ~SlotPool() {
    for (auto& slot : slots_) std::unique_ptr<T>(slot.exchange(nullptr)).reset();
  }

  // Counts a user in. An idle object, or null: then the user makes one. Low slots come first, so that few objects serve
  // little traffic.
  std::unique_ptr<T> Take() {
    const int busy = busy_.fetch_add(1, std::memory_order_relaxed) + 1;
    if (busy > peak_.load(std::memory_order_relaxed)) peak_.store(busy, std::memory_order_relaxed);
    for (auto& slot : slots_) {
      if (slot.load(std::memory_order_relaxed) == nullptr) continue;
      if (T* object = slot.exchange(nullptr, std::memory_order_acq_rel)) return std::unique_ptr<T>(object);
    }
    return nullptr;
  }

  // The same, with `make()` where nothing is idle. What it throws passes through, with the user counted out again.
  template <typename Make>
  std::unique_ptr<T> TakeOrMake(const Make& make) {
    std::unique_ptr<T> object = Take();
    if (object != nullptr) return object;
    try {
      return make();
    } catch (...) {
      Give(nullptr);
      throw;
    }
  }

  // Users now.
  int busy() const { return busy_.load(std::memory_order_relaxed); }

  // Counts the user out, and keeps the object unless all slots are taken. `object` may be null.
  void Give(std::unique_ptr<T> object) {
    busy_.fetch_sub(1, std::memory_order_relaxed);
    if (object != nullptr) Keep(std::move(object));
    if (uses_.fetch_add(1, std::memory_order_relaxed) % kWindow == kWindow - 1) Shrink();
  }

  // Calls fn(object) on every object that is idle now.
  template <typename Fn>
  void ForEachIdle(const Fn& fn) {
    for (auto& slot : slots_) {
      std::unique_ptr<T> object(slot.exchange(nullptr, std::memory_order_acq_rel));
      if (object == nullptr) continue;
      fn(*object);
      Keep(std::move(object));
    }
  }

 private:
  void Keep(std::unique_ptr<T> object) {
    for (auto& slot : slots_) {
      T* empty = nullptr;
      if (slot.load(std::memory_order_relaxed) != nullptr) continue;
      if (slot.compare_exchange_strong(empty, object.get(), std::memory_order_acq_rel)) {
        (void)object.release();
        return;
      }
    }
  }

  // Ends a window. The highest slots go first: their objects were used least lately.
  void Shrink() {
    const int busy = busy_.load(std::memory_order_relaxed);
    const int peak = peak_.exchange(busy, std::memory_order_relaxed);
    const int wanted = std::max(peak, former_peak_.exchange(peak, std::memory_order_relaxed)) - busy;
    int idle = 0;
    for (const auto& slot : slots_) idle += slot.load(std::memory_order_relaxed) != nullptr;
    for (auto slot = slots_.rbegin(); slot != slots_.rend() && idle > wanted; ++slot) {
      std::unique_ptr<T> object(slot->exchange(nullptr, std::memory_order_acq_rel));
      if (object != nullptr) --idle;
    }
  }

  std::array<std::atomic<T*>, kSlots> slots_{};
  std::atomic<int> busy_{0};
  // The most users at once, in this window and the one before. A race may miss one: it then makes an object again.
  std::atomic<int> peak_{0};
  std::atomic<int> former_peak_{0};
  std::atomic<unsigned> uses_{0};
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_SLOT_POOL_H_
