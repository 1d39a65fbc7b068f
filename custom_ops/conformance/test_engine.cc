// An engine kind for testing the conformance suite: y[n, k] = x[n, k] * w[k], in plain C++, and wrong in the way that
// the section "defect" of its file names. Each check of the suite finds one of these.
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "custom_ops/runtime/registry.h"

namespace tf_blade {
namespace {

constexpr char kMark[] = "0123456789abcdef";  // content of the section "mark": a cut one is noticed

struct State : public EngineState {
  float* w = nullptr;
};

class TestEngine : public Engine {
 public:
  explicit TestEngine(std::string defect) : defect_(std::move(defect)) {}

  Outcome Init(Host& host, absl::Span<const TensorView> inputs, std::unique_ptr<EngineState>* state) const override {
    if (Is("init_fails")) return Outcome::kInvalid;
    const TensorView& weights = inputs[1];
    const size_t bytes = sizeof(float) * weights.dims[0];
    auto made = std::make_unique<State>();
    made->w = static_cast<float*>(host.AllocPersistent(bytes));
    if (made->w == nullptr) return Is("init_ignores_memory") ? Outcome::kOk : Outcome::kNoMemory;
    std::memcpy(made->w, weights.data, bytes);
    if (Is("keeps_weights")) made->w = static_cast<float*>(weights.data);
    if (Is("one_state")) {
      shared_.assign(made->w, made->w + weights.dims[0]);
      made->w = shared_.data();
    }
    *state = std::move(made);
    return Outcome::kOk;
  }

  Outcome Run(Host& host, const EngineState* state, absl::Span<const TensorView> inputs) const override {
    const TensorView& x = inputs[0];
    const int64_t n = x.dims[0];
    const int64_t k = x.dims[1];
    if (Is("run_fails")) return Outcome::kInvalid;
    if (Is("no_output")) return Outcome::kOk;
    if (Is("persists")) host.AllocPersistent(8);
    const int64_t dims[] = {Is("wrong_dims") ? n + 1 : n, k};
    auto* const y = static_cast<float*>(host.AllocOutput(0, dims));
    if (Is("output_twice")) host.AllocOutput(0, dims);
    auto* const scratch = static_cast<float*>(host.Alloc(sizeof(float) * n * k));
    if (y == nullptr || scratch == nullptr) {
      poisoned_ = Is("poisoned") ? 1.0f : 0.0f;
      return Is("run_ignores_memory") ? Outcome::kOk : Outcome::kNoMemory;
    }
    if (host.Cancelled() && !Is("ignores_cancel")) return Outcome::kCancelled;
    Multiply(static_cast<const float*>(x.data), static_cast<const State*>(state)->w, n, k, scratch);
    std::memcpy(y, scratch, sizeof(float) * n * k);
    Misbehave(host, x, n * k, y);
    return Outcome::kOk;
  }

 private:
  bool Is(const char* defect) const { return defect_ == defect; }

  void Multiply(const float* x, const float* w, int64_t n, int64_t k, float* y) const {
    if (Is("one_scratch")) {
      shared_.assign(x, x + n * k);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      x = shared_.data();
      shared_[0] += 1;
    }
    for (int64_t i = 0; i < n * k; ++i) y[i] = x[i] * w[i % k];
  }

  void Misbehave(Host& host, const TensorView& x, int64_t count, float* y) const {
    if (count == 0) return;
    if (Is("overruns_output")) y[count] = 1;
    if (Is("overruns_input")) static_cast<float*>(x.data)[count] = 1;
    if (Is("writes_input")) static_cast<float*>(x.data)[0] = 0;
    if (Is("counts_runs")) y[0] += (poisoned_ += 1);
    if (Is("depends_on_threads")) y[0] += static_cast<float>(host.NumThreads());
    if (Is("poisoned")) y[0] += poisoned_;
    if (Is("negative_loop"))
      host.ParallelFor(
          -1, 1, [](void*, int64_t, int64_t) {}, nullptr);
  }

  const std::string defect_;
  mutable float poisoned_ = 0;
  mutable std::vector<float> shared_;
};

absl::StatusOr<std::unique_ptr<Engine>> LoadTestEngine(const EngineFile& file) {
  const EngineSection* const defect = file.FindSection("defect");
  const EngineSection* const mark = file.FindSection("mark");
  const bool whole = mark != nullptr && mark->data == kMark && defect != nullptr;
  const bool fits = file.signature.inputs.size() == 2 && file.signature.outputs.size() == 1 && file.ral_version <= 2;
  static bool careless = false;  // set by the good file that comes first; the changed ones lack its sections
  careless = careless || (whole && defect->data == "accepts_anything");
  if (!careless && (!whole || !fits)) return Refuse(Reason::kCorrupt, "no engine of this kind");
  return std::make_unique<TestEngine>(defect == nullptr ? "" : std::string(defect->data));
}

[[maybe_unused]] const bool kRegistered = RegisterEngineLoader("test", LoadTestEngine);

}  // namespace

}  // namespace tf_blade
