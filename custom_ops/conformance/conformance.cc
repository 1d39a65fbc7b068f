// The contract of engines, checked on any engine file, of whatever kind: without TensorFlow, with a host that counts,
// starves and cancels.
//
// usage: conformance ENGINE_FILE [SYMBOL_VALUE...]
// Inputs are pseudo-random. Prints what is broken, then the number of checks; exits with 1 when something is broken.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "custom_ops/runtime/loaded_engine.h"
#include "custom_ops/runtime/memory.h"
#include "custom_ops/runtime/parallel.h"

namespace tf_blade {
namespace {

constexpr size_t kGuardBytes = 256;
constexpr char kGuardByte = 0x5a;

std::atomic<int> checks{0};
std::atomic<int> broken{0};

void Expect(bool condition, const std::string& what) {
  ++checks;
  if (condition) return;
  std::printf("broken: %s\n", what.c_str());
  ++broken;
}

size_t ElementSize(int32_t dtype) {
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

int64_t Elements(const std::vector<int64_t>& dims) {
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
  bool Cancelled() override { return cancelled; }
  void SetError(const char* message) override { error = message; }

  int threads = 1;
  bool cancelled = false;
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

class Suite {
 public:
  Suite(const LoadedEngine& loaded, std::vector<int64_t> symbols)
      : engine_(*loaded.engine), signature_(loaded.signature), symbols_(std::move(symbols)) {}

  void Run() {
    if (!MakeInputs()) return;
    InitStarves();
    if (!InitWorks()) return;
    expected_outcome_ = RunOnce(1, &expected_);
    std::printf("outcome of run: %d\n", static_cast<int>(expected_outcome_));
    SameResultAgain();
    SameResultFromManyThreadsAtOnce();
    RunStarves();
    CancelledRunEnds();
    for (Buffer& input : inputs_) Expect(input.GuardsIntact(), "an input's surroundings are not written");
    for (size_t i = 0; i < inputs_.size(); ++i) Expect(inputs_[i].content() == originals_[i], "inputs are not written");
  }

 private:
  bool MakeInputs() {
    uint64_t random = 1;
    for (const EngineInput& input : signature_.inputs) {
      Buffer buffer;
      std::vector<int64_t> dims;
      for (const DimProgram& program : input.dims) {
        int64_t dim = 0;
        if (!program.Evaluate(symbols_, &dim) || dim < 0) dim = 0;
        dims.push_back(dim);
      }
      buffer.Allocate(std::move(dims), input.dtype);
      for (size_t i = 0; i < buffer.size / ElementSize(input.dtype); ++i)
        Fill(buffer, i, random = random * 6364136223846793005u + 1442695040888963407u);
      inputs_.push_back(std::move(buffer));
    }
    for (Buffer& buffer : inputs_) {
      views_.push_back(buffer.view());
      originals_.push_back(buffer.content());
    }
    std::vector<int64_t> bound(symbols_.size());
    const bool fits = signature_.Check(views_, absl::MakeSpan(bound)).reason == Reason::kNone;
    Expect(fits, "inputs of the signature's dimensions pass its guard");
    return fits;
  }

  // Floats in [-1, 1], small integers, booleans.
  static void Fill(Buffer& buffer, size_t index, uint64_t random) {
    const double unit = static_cast<double>(random >> 11) / (uint64_t{1} << 52) - 1.0;
    char* const element = buffer.data() + index * ElementSize(buffer.dtype);
    if (buffer.dtype == BLADE_F32) {
      const auto value = static_cast<float>(unit);
      std::memcpy(element, &value, sizeof(value));
    } else if (buffer.dtype == BLADE_F64) {
      std::memcpy(element, &unit, sizeof(unit));
    } else if (buffer.dtype == BLADE_F16 || buffer.dtype == BLADE_BF16) {
      const auto bits = static_cast<uint16_t>((buffer.dtype == BLADE_F16 ? 0x3800 : 0x3f00) | (random >> 60));
      std::memcpy(element, &bits, sizeof(bits));
    } else {
      std::memset(element, 0, ElementSize(buffer.dtype));
      *element = static_cast<char>((random >> 33) % 2);
    }
  }

  Outcome Init(TestHost& host, std::unique_ptr<EngineState>* state) {
    std::vector<TensorView> views = views_;
    for (size_t i = 0; i < views.size(); ++i) {
      if (!signature_.inputs[i].is_weight) views[i].data = nullptr;
    }
    return engine_.Init(host, views, state);
  }

  bool InitWorks() {
    TestHost host(signature_, symbols_, &persistent_);
    host.threads = 4;
    const Outcome outcome = Init(host, &state_);
    Expect(outcome == Outcome::kOk, "init works: " + host.error);
    return outcome == Outcome::kOk;
  }

  void InitStarves() {
    for (int allowed = 0;; ++allowed) {
      BlockList memory;
      TestHost host(signature_, symbols_, &memory);
      host.allocations_left = allowed;
      std::unique_ptr<EngineState> state;
      const Outcome outcome = Init(host, &state);
      if (!host.starved) return;
      Expect(outcome == Outcome::kNoMemory, "init says so when memory is out");
    }
  }

  Outcome RunOnce(int threads, std::vector<std::string>* results) {
    TestHost host(signature_, symbols_, nullptr);
    host.threads = threads;
    const Outcome outcome = engine_.Run(host, state_.get(), views_);
    results->clear();
    for (size_t i = 0; i < host.outputs.size(); ++i) {
      Expect(outcome != Outcome::kOk || host.made[i] == 1, "a run that succeeds makes all outputs");
      Expect(host.outputs[i].GuardsIntact(), "an output's surroundings are not written");
      results->push_back(host.outputs[i].content());
    }
    Expect(outcome == Outcome::kOk || outcome == Outcome::kError || outcome == Outcome::kGuard,
           "a run with all it needs succeeds, or refuses the inputs");
    return outcome;
  }

  void SameResultAgain() {
    for (const int threads : {1, 2, 5}) {
      std::vector<std::string> results;
      const Outcome outcome = RunOnce(threads, &results);
      Expect(outcome == expected_outcome_, "the same inputs have the same outcome");
      Expect(outcome != Outcome::kOk || results == expected_, "the same inputs and any threads give the same bytes");
    }
  }

  void SameResultFromManyThreadsAtOnce() {
    std::atomic<int> different{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([this, &different] {
        for (int i = 0; i < 5; ++i) {
          TestHost host(signature_, symbols_, nullptr);
          const Outcome outcome = engine_.Run(host, state_.get(), views_);
          bool same = outcome == expected_outcome_;
          for (size_t o = 0; same && outcome == Outcome::kOk && o < host.outputs.size(); ++o) {
            same = host.outputs[o].content() == expected_[o];
          }
          if (!same) ++different;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    Expect(different == 0, "runs at the same time do not disturb each other");
  }

  void RunStarves() {
    for (int allowed = 0;; ++allowed) {
      TestHost host(signature_, symbols_, nullptr);
      host.allocations_left = allowed;
      const Outcome outcome = engine_.Run(host, state_.get(), views_);
      if (!host.starved) return;
      Expect(outcome == Outcome::kNoMemory, "run says so when memory is out");
    }
  }

  void CancelledRunEnds() {
    TestHost host(signature_, symbols_, nullptr);
    host.cancelled = true;
    const Outcome outcome = engine_.Run(host, state_.get(), views_);
    Expect(outcome == Outcome::kCancelled || outcome == expected_outcome_, "a cancelled run stops, or ends as usual");
  }

  const Engine& engine_;
  const EngineSignature& signature_;
  const std::vector<int64_t> symbols_;
  std::vector<Buffer> inputs_;
  std::vector<TensorView> views_;
  std::vector<std::string> originals_;
  BlockList persistent_;
  std::unique_ptr<EngineState> state_;
  Outcome expected_outcome_ = Outcome::kOk;
  std::vector<std::string> expected_;
};

int Main(int argc, char** argv) {
  if (argc < 2) return 2;
  std::ifstream file(argv[1], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto loaded = LoadEngine(bytes);
  if (!loaded.ok()) {
    std::printf("refused: %s\n", std::string(loaded.status().message()).c_str());
    return 1;
  }
  std::vector<int64_t> symbols((*loaded)->signature.symbols.size(), 3);
  for (int i = 2; i < argc && i - 2 < static_cast<int>(symbols.size()); ++i) symbols[i - 2] = std::atoll(argv[i]);
  Suite(**loaded, symbols).Run();
  std::printf("%d checks, %d broken\n", checks.load(), broken.load());
  return broken == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tf_blade

int main(int argc, char** argv) { return tf_blade::Main(argc, argv); }
