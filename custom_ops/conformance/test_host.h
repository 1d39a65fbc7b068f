// What the conformance suite runs engines with: tensors between guard bytes, threads that come at once, and a host that
// counts, starves and cancels.
#ifndef TF_BLADE_CUSTOM_OPS_CONFORMANCE_TEST_HOST_H_
#define TF_BLADE_CUSTOM_OPS_CONFORMANCE_TEST_HOST_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "custom_ops/runtime/engine.h"
#include "custom_ops/runtime/memory.h"
#include "custom_ops/runtime/parallel.h"

namespace tf_blade {

constexpr size_t kGuardBytes = 256;
constexpr char kGuardByte = 0x5a;

inline std::atomic<int> checks{0};
inline std::atomic<int> broken{0};

// Counts a check, and prints what is broken.
inline void Expect(bool condition, const std::string& what) {
  ++checks;
  if (condition) return;
  std::printf("broken: %s\n", what.c_str());
  ++broken;
}

inline size_t ElementSize(int32_t dtype) {
  switch (dtype) {
    case BLADE_U8:
    case BLADE_I8:
    case BLADE_BOOL:
      return 1;
    case BLADE_F16:
    case BLADE_BF16:
    case BLADE_I16:
    case BLADE_U16:
      return 2;
    case BLADE_F64:
    case BLADE_I64:
    case BLADE_U64:
      return 8;
    default:
      return 4;
  }
}

inline int64_t Elements(const std::vector<int64_t>& dims) {
  int64_t count = 1;
  for (const int64_t dim : dims) count *= dim;
  return count;
}

// A tensor between guard bytes that nobody may write.
struct Buffer {
  std::vector<int64_t> dims;
  int32_t dtype = 0;
  std::vector<char> bytes;  // guard, alignment, data, guard
  size_t offset = 0;
  size_t size = 0;

  void Allocate(std::vector<int64_t> new_dims, int32_t new_dtype) {
    dims = std::move(new_dims);
    dtype = new_dtype;
    size = Elements(dims) * ElementSize(dtype);
    bytes.assign(size + 2 * kGuardBytes + kMemoryAlignment, kGuardByte);
    const auto address = reinterpret_cast<uintptr_t>(bytes.data()) + kGuardBytes;
    offset = kGuardBytes + (kMemoryAlignment - address % kMemoryAlignment) % kMemoryAlignment;
  }
  char* data() { return bytes.data() + offset; }
  TensorView view() { return {data(), dims.data(), static_cast<int32_t>(dims.size()), dtype}; }
  bool GuardsIntact() const {
    for (size_t i = 0; i < bytes.size(); ++i) {
      if ((i < offset || i >= offset + size) && bytes[i] != kGuardByte) return false;
    }
    return true;
  }
  std::string content() { return std::string(data(), size); }
};

class Threads : public ThreadPool {
 public:
  explicit Threads(int count) : count_(count) {}
  ~Threads() override {
    for (std::thread& thread : threads_) thread.join();
  }
  int NumThreads() const override { return count_; }
  void Schedule(std::function<void()> task) override { threads_.emplace_back(std::move(task)); }

 private:
  const int count_;
  std::vector<std::thread> threads_;
};

class TestHost : public Host {
 public:
  TestHost(const EngineSignature& signature, const std::vector<int64_t>& symbols, BlockList* persistent)
      : outputs(signature.outputs.size()),
        made(signature.outputs.size(), 0),
        signature_(signature),
        symbols_(symbols),
        persistent_(persistent) {}

  int NumThreads() override { return threads; }
  void* Alloc(size_t bytes) override { return Starve() ? nullptr : scratch_.Allocate(bytes); }
  void Release(void* memory) override {
    const size_t before = scratch_.bytes();
    scratch_.FreeSince(memory);
    Expect(scratch_.bytes() < before, "what is released was allocated and not released yet");
  }
  void* AllocPersistent(size_t bytes) override {
    Expect(persistent_ != nullptr, "persistent memory is asked for by init only");
    return persistent_ == nullptr || Starve() ? nullptr : persistent_->Allocate(bytes);
  }
  void* AllocOutput(int index, absl::Span<const int64_t> dims) override {
    const bool exists = index >= 0 && index < static_cast<int>(outputs.size());
    Expect(exists && persistent_ == nullptr, "outputs are made by run, by their index");
    if (!exists || Starve()) return nullptr;
    Expect(++made[index] == 1, "an output is made once");
    Expect(signature_.OutputFits(index, dims, symbols_), "an output has the signature's dimensions");
    outputs[index].Allocate({dims.begin(), dims.end()}, signature_.outputs[index].dtype);
    return outputs[index].data();
  }
  void ParallelFor(int64_t total, int64_t cost_ns, LoopBody body, void* arg) override {
    Expect(total >= 0 && cost_ns >= 0, "a loop's length and cost are not negative");
    Threads pool(threads);
    // Cheap loops are spread too: what may run at once must be able to.
    tf_blade::ParallelFor(pool, total, std::max<int64_t>(cost_ns, 100000), body, arg);
  }
  bool Cancelled() override {
    if (polls_before_cancel-- > 0) return false;
    saw_cancel = true;
    return true;
  }
  void SetError(const char* message) override { error = message; }

  int threads = 1;
  int polls_before_cancel = INT32_MAX;
  bool saw_cancel = false;
  int allocations_left = INT32_MAX;
  bool starved = false;
  std::string error;
  std::vector<Buffer> outputs;
  std::vector<int> made;

 private:
  bool Starve() {
    starved = starved || allocations_left == 0;
    return allocations_left-- <= 0;
  }

  const EngineSignature& signature_;
  const std::vector<int64_t>& symbols_;
  BlockList* const persistent_;
  BlockList scratch_;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_CONFORMANCE_TEST_HOST_H_
