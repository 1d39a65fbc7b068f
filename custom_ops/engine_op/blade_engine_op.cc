// The kernel: engines in their order of preference, else the original subgraph.
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "custom_ops/engine_op/call_context.h"
#include "custom_ops/engine_op/engine_attr.h"
#include "custom_ops/engine_op/engine_slot.h"
#include "custom_ops/engine_op/fallback.h"
#include "custom_ops/engine_op/input_sources.h"
#include "custom_ops/engine_op/registration.h"
#include "custom_ops/runtime/loaded_engine.h"
#include "custom_ops/runtime/stats.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_blade {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;

bool DisabledByEnvironment() {
  const char* value = std::getenv("TF_BLADE_DISABLE");
  return value != nullptr && *value != '\0' && absl::string_view(value) != "0";
}

tensorflow::NameAttrList GetFallback(OpKernelConstruction* ctx) {
  tensorflow::NameAttrList function;
  const absl::Status status = ctx->GetAttr("fallback", &function);
  if (!status.ok()) ctx->SetStatus(status);
  return function;
}

class BladeEngineOp : public tensorflow::AsyncOpKernel {
 public:
  explicit BladeEngineOp(OpKernelConstruction* ctx)
      : AsyncOpKernel(ctx), disabled_(DisabledByEnvironment()), fallback_(GetFallback(ctx)), sources_(ctx) {
    std::string cluster;
    // An attribute without use beyond names in logs and statistics.
    if (!ctx->GetAttr("cluster", &cluster).ok() || cluster.empty()) cluster = ctx->def().name();
    std::vector<EngineIdentity> identities;
    for (const absl::string_view bytes : EngineFilesOf(tensorflow::AttrSlice(ctx->def()).Find("engines"))) {
      auto engine = LoadEngine(bytes);
      const Digest hash = engine.ok() ? (*engine)->content_hash : Sha256(bytes);
      identities.push_back({engine.ok() ? (*engine)->backend : "", DigestHex(hash, 8)});
      slots_.push_back(std::make_unique<EngineSlot>(static_cast<int>(slots_.size()), cluster, std::move(engine),
                                                    sources_, output_types(), &pool_));
    }
    stats_ = GetClusterStats(cluster, identities);
    for (size_t i = 0; i < slots_.size(); ++i) slots_[i]->SetStats(stats_->engines[i]);
  }

  void ComputeAsync(OpKernelContext* ctx, DoneCallback done) override {
    Count(stats_->calls);
    EngineSlot* erring = nullptr;
    const Served served = TryEngines(ctx, &erring);
    if (served.kind == Served::kYes) {
      Count(stats_->engine_runs);
      done();
      return;
    }
    if (served.kind == Served::kCancelled) {
      ctx->SetStatus(absl::CancelledError("tf_blade: the call was cancelled while an engine ran"));
      done();
      return;
    }
    Count(stats_->fallbacks, served.reason);
    fallback_.Run(ctx, sources_, [erring, done = std::move(done)](const absl::Status& status) {
      if (erring != nullptr && status.ok()) erring->Blame();
      done();
    });
  }

 private:
  // `*erring` is set to an engine whose error TensorFlow must confirm.
  Served TryEngines(OpKernelContext* ctx, EngineSlot** erring) {
    if (disabled_) return {Served::kNo, Reason::kDisabled};
    Served result{Served::kNo, slots_.empty() ? Reason::kBackend : Reason::kNone};
    std::unique_ptr<CallContext> call;
    for (const auto& slot : slots_) {
      Served served{Served::kNo, slot->Admit()};
      if (served.reason == Reason::kNone) {
        if (call == nullptr) call = TakeContext();
        served = ServeBy(*slot, ctx, *call);
      }
      if (served.kind != Served::kNo) {
        result = served;
        break;
      }
      if (served.reason == Reason::kEngineError && *erring == nullptr) *erring = slot.get();
      if (result.reason == Reason::kNone) result = served;
    }
    if (call != nullptr) GiveContext(std::move(call));
    return result;
  }

  Served ServeBy(EngineSlot& slot, OpKernelContext* ctx, CallContext& call) {
    if (call.inputs.views().empty()) {
      const Reason reason = call.inputs.Collect(ctx, sources_);
      if (reason != Reason::kNone) {
        call.inputs.Release();
        slot.Refused(reason, "a variable has no value");
        return {Served::kNo, reason};
      }
    }
    return slot.Serve(ctx, call);
  }

  std::unique_ptr<CallContext> TakeContext() {
    std::unique_ptr<CallContext> call = pool_.Take();
    if (call == nullptr) {
      call = std::make_unique<CallContext>();
      call->states.resize(slots_.size());
    }
    call->host.arena().BecomeBusy();
    return call;
  }

  void GiveContext(std::unique_ptr<CallContext> call) {
    call->inputs.Release();
    call->host.arena().BecomeIdle();
    pool_.Give(std::move(call));
  }

  const bool disabled_;
  Fallback fallback_;
  const InputSources sources_;
  ContextPool pool_;
  std::vector<std::unique_ptr<EngineSlot>> slots_;
  std::shared_ptr<ClusterStats> stats_;
};

}  // namespace

tensorflow::OpKernel* MakeBladeEngineOp(OpKernelConstruction* ctx) {
  return std::make_unique<BladeEngineOp>(ctx).release();
}

}  // namespace tf_blade
