// What loops need: scratch memory that each iteration uses again, and the update of one row.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_LOOP_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_LOOP_H_

#include <stddef.h>
#include <stdint.h>

#include "../ral.h"
#include "runtime.h"

namespace blade {
namespace {

// A loop may run for long: the n-th allocation that is in use at once gets the memory of the n-th one before, if that
// is large enough. What is in use beyond `kBlocks` goes back to the host when it is released, at the latest with the
// next turn.
class LoopMemory {
 public:
  explicit LoopMemory(const BladeRal* ral) : host_(ral), ral_(*ral) {
    ral_.context = this;
    ral_.alloc = [](void* self, size_t bytes) { return static_cast<LoopMemory*>(self)->alloc(bytes); };
    ral_.alloc_persistent = [](void* self, size_t bytes) { return host(self)->alloc_persistent(context(self), bytes); };
    ral_.alloc_output = [](void* self, int32_t index, int32_t rank, const int64_t* dims) {
      return host(self)->alloc_output(context(self), index, rank, dims);
    };
    ral_.parallel_for = [](void* self, int64_t total, int64_t cost, void (*fn)(void*, int64_t, int64_t), void* arg) {
      host(self)->parallel_for(context(self), total, cost, fn, arg);
    };
    ral_.cancelled = [](void* self) { return host(self)->cancelled(context(self)); };
    ral_.set_error = [](void* self, const char* message) { host(self)->set_error(context(self), message); };
    ral_.release = [](void* self, void* memory) { static_cast<LoopMemory*>(self)->release(memory); };
  }
  ~LoopMemory() {
    if (first_ != nullptr) host_->release(host_->context, first_);
  }
  LoopMemory(const LoopMemory&) = delete;
  LoopMemory& operator=(const LoopMemory&) = delete;

  const BladeRal* ral() const { return &ral_; }
  void restart() {
    next_ = 0;
    release_beyond();
  }

 private:
  static constexpr int kBlocks = 64;

  static const BladeRal* host(void* self) { return static_cast<LoopMemory*>(self)->host_; }
  static void* context(void* self) { return host(self)->context; }

  void* alloc(size_t bytes) {
    if (next_ >= kBlocks) {
      void* const memory = host_->alloc(host_->context, bytes);
      if (beyond_ == nullptr) beyond_ = memory;
      return memory;
    }
    const int index = next_++;
    if (blocks_[index] == nullptr || sizes_[index] < bytes) {
      blocks_[index] = host_->alloc(host_->context, bytes);
      sizes_[index] = blocks_[index] == nullptr ? 0 : bytes;
      if (first_ == nullptr) first_ = blocks_[index];
    }
    return blocks_[index];
  }

  // What lies beyond the blocks is the host's, and younger than all of them: none gets new memory as long as it is
  // there.
  void release(void* memory) {
    for (int i = 0; i < next_; ++i) {
      if (blocks_[i] != memory) continue;
      next_ = i;
      release_beyond();
      return;
    }
    if (memory == beyond_) beyond_ = nullptr;
    host_->release(host_->context, memory);
  }

  void release_beyond() {
    if (beyond_ != nullptr) host_->release(host_->context, beyond_);
    beyond_ = nullptr;
  }

  const BladeRal* host_;
  BladeRal ral_;
  int next_ = 0;
  void* blocks_[kBlocks] = {};
  size_t sizes_[kBlocks] = {};
  void* first_ = nullptr;   // that the host gave
  void* beyond_ = nullptr;  // the first in use beyond the blocks
};

// result = x with row `index` replaced; result may be x. Sets the error flag where there is no such row.
template <class T, class I>
inline void update_row(const BladeRal* ral, T* result, const T* x, const T* row, const I* index, int64_t rows,
                       int64_t row_bytes, int32_t* error) {
  if (result != x) copy(ral, result, x, rows * row_bytes);
  const int64_t place = checked_index(*index, rows, error);
  if (place < rows) memmove(reinterpret_cast<char*>(result) + place * row_bytes, row, static_cast<size_t>(row_bytes));
}

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_LOOP_H_
