// A pool of objects without locks: a few slots, each empty or holding one idle object.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_SLOT_POOL_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_SLOT_POOL_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>

namespace tf_blade {

template <typename T, size_t kSlots = 64>
class SlotPool {
 public:
  SlotPool() = default;
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;
  ~SlotPool() {
    for (auto& slot : slots_) std::unique_ptr<T>(slot.exchange(nullptr)).reset();
  }

  // An idle object, or null. Low slots come first, so that few objects serve little traffic.
  std::unique_ptr<T> Take() {
    for (auto& slot : slots_) {
      if (slot.load(std::memory_order_relaxed) == nullptr) continue;
      if (T* object = slot.exchange(nullptr, std::memory_order_acq_rel)) return std::unique_ptr<T>(object);
    }
    return nullptr;
  }

  // Keeps the object, or destroys it when all slots are taken.
  void Give(std::unique_ptr<T> object) {
    for (auto& slot : slots_) {
      T* empty = nullptr;
      if (slot.load(std::memory_order_relaxed) != nullptr) continue;
      if (slot.compare_exchange_strong(empty, object.get(), std::memory_order_acq_rel)) {
        (void)object.release();
        return;
      }
    }
  }

  // Calls fn(object) on every object that is idle now.
  template <typename Fn>
  void ForEachIdle(const Fn& fn) {
    for (auto& slot : slots_) {
      std::unique_ptr<T> object(slot.exchange(nullptr, std::memory_order_acq_rel));
      if (object == nullptr) continue;
      fn(*object);
      Give(std::move(object));
    }
  }

 private:
  std::array<std::atomic<T*>, kSlots> slots_{};
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_SLOT_POOL_H_
