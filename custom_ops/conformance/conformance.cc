// The contract of engines, checked on any engine file, of whatever kind, without TensorFlow: load, refuse, init, run,
// errors, cancellation, runs at the same time, memory that ends, weights that move and change.
//
// usage: conformance ENGINE_FILE [SYMBOL_VALUE...]
// Inputs are pseudo-random. Prints what is broken, then the number of checks; exits with 1 when something is broken.
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

#include "custom_ops/conformance/test_host.h"
#include "custom_ops/runtime/engine_file.h"
#include "custom_ops/runtime/loaded_engine.h"
#include "custom_ops/runtime/registry.h"

namespace tf_blade {
namespace {

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
    FailedRunsLeaveNothingBehind();
    WeightsMove();
    StatesAreApart();
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

  // Whenever the cancellation comes: who saw it stops.
  void CancelledRunEnds() {
    for (int polls = 0; polls < 1000; ++polls) {
      TestHost host(signature_, symbols_, nullptr);
      host.polls_before_cancel = polls;
      const Outcome outcome = engine_.Run(host, state_.get(), views_);
      if (!host.saw_cancel) {
        Expect(outcome == expected_outcome_, "a run that saw no cancellation ends as usual");
        return;
      }
      Expect(outcome == Outcome::kCancelled, "a run that saw its cancellation stops");
    }
  }

  void FailedRunsLeaveNothingBehind() {
    std::vector<std::string> results;
    const Outcome outcome = RunOnce(2, &results);
    Expect(outcome == expected_outcome_ && (outcome != Outcome::kOk || results == expected_),
           "runs that were starved or cancelled leave nothing behind");
  }

  // The same values at other addresses, with the places they were at when init ran overwritten.
  void WeightsMove() {
    std::vector<Buffer> moved;
    const std::vector<TensorView> former = views_;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      moved.emplace_back();
      if (!signature_.inputs[i].is_weight) continue;
      moved[i].Allocate(inputs_[i].dims, inputs_[i].dtype);
      std::memcpy(moved[i].data(), inputs_[i].data(), inputs_[i].size);
      views_[i] = moved[i].view();
      std::memset(inputs_[i].data(), 0, inputs_[i].size);
    }
    std::vector<std::string> results;
    const Outcome outcome = RunOnce(1, &results);
    Expect(outcome == expected_outcome_ && (outcome != Outcome::kOk || results == expected_),
           "weights of the same values may be elsewhere than init found them");
    views_ = former;
    Restore();
  }

  // Another state of other weights, made and run, does not disturb the first.
  void StatesAreApart() {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (signature_.inputs[i].is_weight) std::memset(inputs_[i].data(), 0, inputs_[i].size);
    }
    BlockList memory;
    std::unique_ptr<EngineState> other;
    TestHost host(signature_, symbols_, &memory);
    Expect(Init(host, &other) == Outcome::kOk, "init works for weights that are zero");
    TestHost run_host(signature_, symbols_, nullptr);
    engine_.Run(run_host, other.get(), views_);
    Restore();
    std::vector<std::string> results;
    const Outcome outcome = RunOnce(1, &results);
    Expect(outcome == expected_outcome_ && (outcome != Outcome::kOk || results == expected_),
           "states of different weights are apart");
  }

  void Restore() {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      std::memcpy(inputs_[i].data(), originals_[i].data(), originals_[i].size());
    }
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

// What a backend must not take for an engine of its own.
void RefusesWhatIsNotItsOwn(const std::string& bytes) {
  const absl::StatusOr<EngineFile> file = ParseEngineFile(bytes);
  Expect(file.ok(), "the file parses");
  if (!file.ok()) return;
  const EngineLoader load = FindEngineLoader(file->backend);
  EngineFile changed = *file;
  changed.sections.clear();
  Expect(!load(changed).ok(), "a file without sections is refused");
  for (EngineSection& section : (changed = *file).sections)
    section.data = section.data.substr(0, section.data.size() / 2);
  Expect(!load(changed).ok(), "sections that are cut short are refused");
  (changed = *file).signature.inputs.emplace_back();
  Expect(!load(changed).ok(), "a signature with an input too many is refused");
  (changed = *file).signature.outputs.clear();
  Expect(!load(changed).ok(), "a signature without the outputs is refused");
  (changed = *file).ral_version += 1;
  Expect(!load(changed).ok(), "another version of the runtime's interface is refused");
}

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
  RefusesWhatIsNotItsOwn(bytes);
  Suite(**loaded, symbols).Run();
  std::printf("%d checks, %d broken\n", checks.load(), broken.load());
  return broken == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tf_blade

int main(int argc, char** argv) { return tf_blade::Main(argc, argv); }
