// The kernel: engines in their order of preference, else the original subgraph.
#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "custom_ops/engine_op/call_context.h"
#include "custom_ops/engine_op/engine_attr.h"
#include "custom_ops/engine_op/engine_slot.h"
#include "custom_ops/engine_op/fallback.h"
#include "custom_ops/engine_op/input_sources.h"
#include "custom_ops/engine_op/metrics.h"
#include "custom_ops/engine_op/op_device.h"
#include "custom_ops/engine_op/registration.h"
#include "custom_ops/engine_op/shadow.h"
#include "custom_ops/runtime/engine_file.h"
#include "custom_ops/runtime/environment.h"
#include "custom_ops/runtime/loaded_engine.h"
#include "custom_ops/runtime/memory.h"
#include "custom_ops/runtime/stats.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_blade {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;

tensorflow::NameAttrList GetFallback(OpKernelConstruction* ctx) {
  tensorflow::NameAttrList function;
  const absl::Status status = ctx->GetAttr("fallback", &function);
  if (!status.ok()) ctx->SetStatus(status);
  return function;
}

constexpr int kHashBytes = 8;  // of an engine's name

EngineIdentity MakeIdentity(std::string backend, const Digest& hash, const EngineSignature& signature, size_t bytes) {
  EngineIdentity identity{std::move(backend), DigestHex(hash, kHashBytes), {}, static_cast<int64_t>(bytes)};
  for (const SymbolInfo& symbol : signature.symbols) identity.symbols.push_back(symbol.name);
  return identity;
}

// One that was refused is what it would have been, where its file can be parsed.
EngineIdentity Identify(const absl::StatusOr<std::shared_ptr<const LoadedEngine>>& engine, absl::string_view bytes) {
  if (engine.ok()) {
    const LoadedEngine& loaded = **engine;
    return MakeIdentity(loaded.backend, loaded.content_hash, loaded.signature, bytes.size());
  }
  const absl::StatusOr<EngineFile> file = ParseEngineFile(bytes);
  if (!file.ok()) return MakeIdentity("", Sha256(bytes), {}, bytes.size());
  return MakeIdentity(file->backend, file->content_hash, file->signature, bytes.size());
}

// Results on a device cannot be compared where they are.
ShadowPlan MakeShadowPlan(const OpDevice& device) {
  const ShadowPlan plan = ShadowPlan::FromEnvironment();
  if (device.is_machine() || !plan.enabled()) return plan;
  LogWarningOnce(absl::StrCat("TF_BLADE_SHADOW: no call of ops on ", device.name(),
                              " is shadowed: results are compared in the machine's memory only"));
  return ShadowPlan(0, 0);
}

// The kernels of this process. With the last one goes the scratch memory that calls have left for later ones.
class KernelCount {
 public:
  KernelCount() { ++count_; }
  ~KernelCount() {
    if (--count_ == 0) FreeIdleArenas();
  }
  KernelCount(const KernelCount&) = delete;
  KernelCount& operator=(const KernelCount&) = delete;

 private:
  static inline std::atomic<int64_t> count_{0};
};

class BladeEngineOp : public tensorflow::AsyncOpKernel {
 public:
  explicit BladeEngineOp(OpKernelConstruction* ctx)
      : AsyncOpKernel(ctx),
        disabled_(DisabledByEnvironment()),
        device_(ctx),
        fallback_(GetFallback(ctx)),
        sources_(ctx),
        shadow_(MakeShadowPlan(device_)) {
    WarnOfUnknownVariables();
    if (!device_.is_machine()) OP_REQUIRES_OK(ctx, CheckMemoryTypes(ctx));
    std::string cluster;
    // An attribute without use beyond names in logs and statistics.
    if (!ctx->GetAttr("cluster", &cluster).ok() || cluster.empty()) cluster = ctx->def().name();
    std::vector<EngineIdentity> identities;
    const std::vector<absl::string_view> files = EngineFilesOf(tensorflow::AttrSlice(ctx->def()).Find("engines"));
    for (const absl::string_view bytes : files) {
      auto engine = Load(bytes);
      identities.push_back(Identify(engine, bytes));
      const bool is_last = identities.size() == files.size();
      slots_.push_back(std::make_unique<EngineSlot>(static_cast<int>(slots_.size()), is_last, cluster,
                                                    std::move(engine), device_, sources_, output_types(), &pool_));
    }
    RegisterMetrics();
    stats_ = GetClusterStats(cluster, identities);
    for (size_t i = 0; i < slots_.size(); ++i) slots_[i]->SetStats(stats_->engines[i]);
  }

  void ComputeAsync(OpKernelContext* ctx, DoneCallback done) override {
    Count(stats_->calls);
    Attempt attempt;
    const Served served = TryEngines(ctx, &attempt);
    if (served.kind == Served::kCancelled) {
      attempt.Withdraw();
      ctx->SetStatus(absl::CancelledError("tf_blade: the call was cancelled while an engine ran"));
      done();
      return;
    }
    if (served.kind == Served::kYes && attempt.shadowed.slot == nullptr) {
      // What engines before it met an error in: the error is theirs.
      attempt.Settle(false);
      Count(stats_->engine_runs);
      done();
      return;
    }
    if (served.kind == Served::kYes) {
      Count(stats_->shadowed);
      ComputeAndCompare(ctx, std::move(attempt), std::move(done));
      return;
    }
    Count(stats_->fallbacks, served.reason);
    fallback_.Run(ctx, sources_, [attempt = std::move(attempt), done = std::move(done)](const absl::Status& status) {
      attempt.Settle(!status.ok());
      done();
    });
  }

 private:
  // Where engines are disabled none is loaded either: nothing of a model's code is to run.
  absl::StatusOr<std::shared_ptr<const LoadedEngine>> Load(absl::string_view bytes) const {
    return disabled_ ? Refuse(Reason::kDisabled, "TF_BLADE_DISABLE is set") : LoadEngine(bytes);
  }

  // What is left to do when the engines have been tried.
  struct Attempt {
    struct Error {
      EngineSlot* slot;
      bool probe;
    };
    std::vector<Error> errors;  // that whoever serves next must confirm
    ShadowedCall shadowed;
    Error tried{nullptr, false};  // the engine that is at work

    // Whether whoever served had an error too.
    void Settle(bool confirmed) const {
      for (const Error& error : errors) error.slot->ErrorConfirmed(confirmed, error.probe);
    }
    void Withdraw() const {
      for (const Error& error : errors) error.slot->Withdraw(error.probe);
    }
    // Wherever it stopped: a probe that was settled already is only followed by another one sooner.
    void Abandon() const {
      Withdraw();
      if (tried.slot != nullptr) tried.slot->Withdraw(tried.probe);
    }
  };

  // A context for the duration of a call.
  class Lease {
   public:
    explicit Lease(BladeEngineOp* op) : op_(op), call_(op->pool_.TakeOrMake([op] { return op->MakeContext(); })) {
      try {
        call_->Begin();
      } catch (...) {
        op_->pool_.Give(std::move(call_));
        throw;
      }
    }
    ~Lease() {
      call_->Rest();
      op_->pool_.Give(std::move(call_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    CallContext& call() { return *call_; }

   private:
    BladeEngineOp* const op_;
    std::unique_ptr<CallContext> call_;
  };

  std::unique_ptr<CallContext> MakeContext() const {
    return std::make_unique<CallContext>(slots_.size(), device_, stats_);
  }

  // Nothing below may end the process for want of memory: TensorFlow's path may still have enough.
  Served TryEngines(OpKernelContext* ctx, Attempt* attempt) {
    if (disabled_) return {Served::kNo, Reason::kDisabled};
    try {
      return TryEachEngine(ctx, attempt);
    } catch (const std::bad_alloc&) {
      attempt->Abandon();
      *attempt = Attempt();
      return {Served::kNo, Reason::kNoMemory};
    }
  }

  Served TryEachEngine(OpKernelContext* ctx, Attempt* attempt) {
    Served result{Served::kNo, slots_.empty() ? Reason::kBackend : Reason::kNone};
    bool of_loaded = false;  // whether the result is that of an engine that other inputs might bring to serve
    const bool shadow = shadow_.enabled() && shadow_.Chooses(number_.fetch_add(1, std::memory_order_relaxed));
    std::optional<Lease> lease;
    for (const auto& slot : slots_) {
      const Admitted admitted = slot->Admit();
      Served served{Served::kNo, admitted.reason};
      if (served.reason == Reason::kNone) {
        attempt->tried = {slot.get(), admitted.probe};
        if (!lease.has_value()) lease.emplace(this);
        // What a drift has opened, only a comparison may close.
        const bool compare = shadow || (admitted.probe && shadow_.enabled());
        served = ServeBy(*slot, ctx, lease->call(), admitted.probe, compare ? &attempt->shadowed : nullptr);
      }
      if (served.kind != Served::kNo) return served;
      if (served.reason == Reason::kEngineError) attempt->errors.push_back({slot.get(), admitted.probe});
      if (result.reason == Reason::kNone || (admitted.loaded && !of_loaded)) result = served;
      of_loaded = of_loaded || admitted.loaded;
    }
    return result;
  }

  static absl::string_view WhyNotCollected(Reason reason) {
    return reason == Reason::kDevice ? "a variable is on another device than the op" : "a variable has no value";
  }

  Served ServeBy(EngineSlot& slot, OpKernelContext* ctx, CallContext& call, bool probe, ShadowedCall* shadowed) {
    if (call.inputs.views().empty()) {
      const Reason reason = call.inputs.Collect(ctx, sources_);
      if (reason != Reason::kNone) {
        call.inputs.Release();
        slot.Refused(reason, WhyNotCollected(reason), probe);
        return {Served::kNo, reason};
      }
    }
    // What is written in place cannot be kept for TensorFlow's path to see the same.
    if (call.inputs.has_in_place()) shadowed = nullptr;
    if (shadowed != nullptr) shadowed->variables = call.inputs.variables();
    return slot.Serve(ctx, call, probe, shadowed);
  }

  void ComputeAndCompare(OpKernelContext* ctx, Attempt attempt, DoneCallback done) {
    const auto kept = std::make_shared<Attempt>(std::move(attempt));
    fallback_.Run(ctx, sources_, [this, ctx, kept, done = std::move(done)](const absl::Status& status) {
      const ShadowedCall& shadowed = kept->shadowed;
      shadowed.slot->Compare(ctx, shadowed, shadow_, status, SameVariables(ctx, shadowed.variables));
      kept->Settle(!status.ok());
      done();
    });
  }

  // Whether the variables still have the values that an engine saw.
  bool SameVariables(OpKernelContext* ctx, const std::vector<tensorflow::Tensor>& variables) const {
    CallInputs now(!device_.is_machine());
    if (now.Collect(ctx, sources_) != Reason::kNone || now.has_in_place()) return false;
    return std::equal(variables.begin(), variables.end(), now.variables().begin(), now.variables().end(),
                      [](const tensorflow::Tensor& a, const tensorflow::Tensor& b) { return a.data() == b.data(); });
  }

  const KernelCount count_;
  const bool disabled_;
  const OpDevice device_;
  Fallback fallback_;
  const InputSources sources_;
  std::shared_ptr<ClusterStats> stats_;
  ContextPool pool_;  // after what its contexts count in
  std::vector<std::unique_ptr<EngineSlot>> slots_;
  const ShadowPlan shadow_;
  std::atomic<uint64_t> number_{0};  // of the next call
};

}  // namespace

tensorflow::OpKernel* MakeBladeEngineOp(OpKernelConstruction* ctx) {
  return std::make_unique<BladeEngineOp>(ctx).release();
}

}  // namespace tf_blade
