#include "custom_ops/engine_op/engine_slot.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "custom_ops/engine_op/metrics.h"
#include "custom_ops/runtime/environment.h"
#include "custom_ops/runtime/one_in.h"
#include "custom_ops/runtime/parallel.h"
#include "tensorflow/core/platform/logging.h"

namespace tf_blade {
namespace {

// What a state holds, as long as it lives.
class HeldBytes {
 public:
  HeldBytes(std::shared_ptr<EngineStats> stats, int64_t bytes) : stats_(std::move(stats)), bytes_(bytes) {
    Count(stats_->state_bytes, bytes_);
  }
  ~HeldBytes() { Count(stats_->state_bytes, -bytes_); }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

 private:
  const std::shared_ptr<EngineStats> stats_;
  const int64_t bytes_;
};

bool IsPlainType(int32_t dtype) {
  switch (dtype) {
    case BLADE_F32:
    case BLADE_F64:
    case BLADE_I32:
    case BLADE_U8:
    case BLADE_I16:
    case BLADE_I8:
    case BLADE_I64:
    case BLADE_BOOL:
    case BLADE_BF16:
    case BLADE_U16:
    case BLADE_F16:
    case BLADE_U32:
    case BLADE_U64:
      return true;
    default:
      return false;
  }
}

// Checks what is known of the op's types before any call. A resource's element type is known only at the call.
absl::Status CheckTypes(const EngineSignature& signature, const tensorflow::DataTypeVector& inputs,
                        const tensorflow::DataTypeVector& outputs) {
  if (signature.inputs.size() != inputs.size() || signature.outputs.size() != outputs.size()) {
    return Refuse(Reason::kSignature, "the engine's inputs and outputs are not the op's");
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const int32_t dtype = signature.inputs[i].dtype;
    if (!IsPlainType(dtype)) return Refuse(Reason::kSignature, absl::StrCat("input ", i, " is no plain tensor"));
    if (inputs[i] != tensorflow::DT_RESOURCE && static_cast<int32_t>(inputs[i]) != dtype) {
      return Refuse(Reason::kDtype, absl::StrCat("input ", i, " has element type ", static_cast<int>(inputs[i]),
                                                 ", the signature says ", dtype));
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const int32_t dtype = signature.outputs[i].dtype;
    if (!IsPlainType(dtype) || static_cast<int32_t>(outputs[i]) != dtype) {
      return Refuse(Reason::kSignature, absl::StrCat("output ", i, " has element type ", static_cast<int>(outputs[i]),
                                                     ", the signature says ", dtype));
    }
  }
  return absl::OkStatus();
}

}  // namespace

EngineSlot::EngineSlot(int index, bool is_last, std::string name,
                       absl::StatusOr<std::shared_ptr<const LoadedEngine>> engine, const OpDevice& device,
                       const InputSources& inputs, const tensorflow::DataTypeVector& outputs, ContextPool* pool)
    : index_(index),
      is_last_(is_last),
      name_(std::move(name)),
      inputs_(inputs),
      pool_(pool),
      faults_(OneInFromEnvironment("TF_BLADE_FAULTS", "no fault is injected")) {
  absl::Status status = engine.ok() ? CheckTypes((*engine)->signature, inputs.types(), outputs) : engine.status();
  if (status.ok()) status = device.CheckEngine(*(*engine)->engine);
  if (status.ok()) {
    engine_ = *std::move(engine);
  } else {
    load_reason_ = ReasonOf(status);
    load_detail_ = std::string(status.message());
  }
}

bool EngineSlot::CountAndLimit(Reason reason, int64_t* suppressed) {
  tf_blade::Count(stats_->refused, reason);
  return log_limiters_[static_cast<size_t>(reason)].Allow(NowNs(), suppressed);
}

void EngineSlot::Log(Reason reason, absl::string_view detail, int64_t suppressed) const {
  LOG(WARNING) << "tf_blade: " << name_ << ": engine " << index_ << " did not serve a call: " << ReasonName(reason)
               << (detail.empty() ? "" : ": ") << detail
               << (suppressed > 0 ? absl::StrCat(" (", suppressed, " more since the last message)") : "");
}

void EngineSlot::Count(Reason reason, absl::string_view detail) {
  int64_t suppressed = 0;
  if (CountAndLimit(reason, &suppressed)) Log(reason, detail, suppressed);
}

Served EngineSlot::NotTaken(const GuardVerdict& verdict, absl::Span<const TensorView> views, bool probe) {
  Withdraw(probe);
  int64_t suppressed = 0;
  // Where another engine comes next, that is what both are there for.
  if (CountAndLimit(verdict.reason, &suppressed) && is_last_) {
    Log(verdict.reason, engine_->signature.Explain(verdict, views), suppressed);
  }
  return {Served::kNo, verdict.reason};
}

void EngineSlot::Refused(Reason reason, absl::string_view detail, bool probe) {
  Withdraw(probe);
  Count(reason, detail);
}

void EngineSlot::SetStats(std::shared_ptr<EngineStats> stats) {
  stats_ = std::move(stats);
  const std::string refusal = engine_ == nullptr ? absl::StrCat(ReasonName(load_reason_), ": ", load_detail_) : "";
  stats_->load_refusal.Set(refusal);
  // Who disabled all engines knows it.
  if (engine_ != nullptr || load_reason_ == Reason::kDisabled) return;
  tf_blade::Count(stats_->refused, load_reason_);
  LogWarningOnce(absl::StrCat(name_, ": engine ", index_, " (",
                              stats_->backend.empty() ? "unreadable" : stats_->backend, ", ", stats_->hash,
                              ") is not used: ", refusal));
}

Admitted EngineSlot::Admit() {
  if (engine_ == nullptr) return {load_reason_, false, false};
  if (!stats_->breaker.Troubled()) return {};
  const Breaker::Admission admission = stats_->breaker.Admit(NowNs());
  if (admission != Breaker::Admission::kNo) return {Reason::kNone, admission == Breaker::Admission::kProbe};
  Count(Reason::kBreakerOpen, "it failed repeatedly and is left alone for a while");
  return {Reason::kBreakerOpen};
}

Served EngineSlot::Serve(tensorflow::OpKernelContext* ctx, CallContext& call, bool probe, ShadowedCall* shadowed) {
  const EngineSignature& signature = engine_->signature;
  std::vector<int64_t>& symbols = call.host.symbols();
  symbols.resize(signature.symbols.size());
  const GuardVerdict verdict = signature.Check(call.inputs.views(), absl::MakeSpan(symbols));
  if (verdict.reason != Reason::kNone) return NotTaken(verdict, call.inputs.views(), probe);
  if (call.inputs.has_in_place() && call.inputs.WrittenOnDevice(engine_->weight_inputs)) {
    Refused(Reason::kDevice, "weights that ops write in place cannot be watched on a device", probe);
    return {Served::kNo, Reason::kDevice};
  }
  stats_->shapes.Add(symbols);
  StatePtr& state = call.states[index_];
  const bool fixed = engine_->weights_have_fixed_shapes;
  if (state == nullptr || !call.inputs.Match(state->key, engine_->weight_inputs, fixed)) {
    absl::StatusOr<StatePtr> bound = Bind(ctx, call);
    if (!bound.ok()) return Fail(ReasonOf(bound.status()), bound.status().message(), probe);
    state = *std::move(bound);
  }
  return Run(ctx, call, *state, probe, shadowed);
}

absl::StatusOr<EngineSlot::StatePtr> EngineSlot::Bind(tensorflow::OpKernelContext* ctx, CallContext& call) {
  const bool fixed = engine_->weights_have_fixed_shapes;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (current_ != nullptr && call.inputs.Match(current_->key, engine_->weight_inputs, fixed)) return current_;
  }
  std::vector<WeightKey> key = call.inputs.MakeKey(engine_->weight_inputs, fixed);
  absl::StatusOr<StatePtr> made =
      engine_->states.GetOrMake(key, [this, ctx, &call, &key] { return MakeState(ctx, call, key); });
  if (made.ok()) Publish(*made);
  return made;
}

absl::StatusOr<EngineSlot::StatePtr> EngineSlot::MakeState(tensorflow::OpKernelContext* ctx, CallContext& call,
                                                           std::vector<WeightKey> key) {
  const int64_t begin = NowNs();
  auto state = std::make_shared<BoundState>();
  state->key = std::move(key);
  state->weights = call.inputs.Retain(ctx, inputs_, engine_->weight_inputs);
  std::vector<TensorView> views(call.inputs.views().begin(), call.inputs.views().end());
  for (size_t i = 0; i < views.size(); ++i) {
    if (!engine_->signature.inputs[i].is_weight) views[i].data = nullptr;
  }
  call.host.Begin(ctx, nullptr, &state->memory);
  const Outcome outcome = engine_->engine->Init(call.host, views, &state->state);
  state->device_memory = call.host.TakePersistent();
  const std::string error = call.host.error();
  const bool misused = call.host.misused();
  call.host.Forget();
  if (outcome != Outcome::kOk || misused) {
    const Reason reason = outcome == Outcome::kNoMemory ? Reason::kNoMemory : Reason::kInitError;
    return Refuse(reason, absl::StrCat("init: ", error.empty() ? "failed" : error));
  }
  const int64_t ns = NowNs() - begin;
  state->account = std::make_shared<HeldBytes>(stats_, static_cast<int64_t>(state->memory.bytes()));
  tf_blade::Count(stats_->inits);
  tf_blade::Count(stats_->init_ns, ns);
  SampleInitTime(name_, stats_->hash, ns);
  return StatePtr(std::move(state));
}

void EngineSlot::Publish(StatePtr state) {
  StatePtr former = state;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (current_ == state) return;
    current_.swap(former);
  }
  if (former == nullptr) return;  // it was the first
  // Idle contexts would keep old weights alive: the last ones, or older ones that they were at work with when those
  // were replaced. Contexts at work now find out at their next call.
  pool_->ForEachIdle([this, &state](CallContext& idle) {
    if (idle.states[index_] != state) idle.states[index_] = nullptr;
  });
}

Served EngineSlot::Run(tensorflow::OpKernelContext* ctx, CallContext& call, const BoundState& state, bool probe,
                       ShadowedCall* shadowed) {
  TensorFlowHost& host = call.host;
  host.Begin(ctx, &engine_->signature, nullptr);
  Outcome outcome;
  {
    const ActiveCall active;
    outcome = engine_->engine->Run(host, state.state.get(), call.inputs.views());
  }
  if (faults_ > 0 && Chosen(number_.fetch_add(1, std::memory_order_relaxed), faults_)) {
    outcome = Outcome::kInvalid;
    host.SetError("a fault was injected (TF_BLADE_FAULTS)");
  }
  if (outcome == Outcome::kOk && !host.misused() &&
      host.TakeOutputs(shadowed == nullptr ? nullptr : &shadowed->outputs)) {
    host.Forget();
    if (shadowed != nullptr) {
      shadowed->slot = this;
      shadowed->probe = probe;
      return {Served::kYes};
    }
    stats_->breaker.Success(probe);
    tf_blade::Count(stats_->runs);
    return {Served::kYes};
  }
  const bool cancelled = host.Cancelled();
  host.Forget();
  if (host.misused()) return Fail(Reason::kRunError, host.error(), probe);
  switch (outcome) {
    case Outcome::kCancelled:
      if (!cancelled) return Fail(Reason::kRunError, "it stopped though nobody cancelled", probe);
      Withdraw(probe);
      return {Served::kCancelled};
    case Outcome::kGuard:
      Refused(Reason::kGuard, host.error(), probe);
      return {Served::kNo, Reason::kGuard};
    case Outcome::kError:
      // Not held against the engine unless TensorFlow computes the same without an error: see ErrorConfirmed.
      Count(Reason::kEngineError, host.error());
      return {Served::kNo, Reason::kEngineError};
    case Outcome::kNoMemory:
      return Fail(Reason::kNoMemory, host.error(), probe);
    case Outcome::kOk:
      return Fail(Reason::kRunError, "it did not make all outputs", probe);
    default:
      return Fail(Reason::kRunError, host.error(), probe);
  }
}

Served EngineSlot::Fail(Reason reason, absl::string_view detail, bool probe) {
  Count(reason, detail);
  Opened(stats_->breaker.Failure(NowNs(), probe), "failed repeatedly");
  return {Served::kNo, reason};
}

void EngineSlot::Opened(bool opened, absl::string_view why) {
  if (!opened) return;
  tf_blade::Count(stats_->openings);
  LOG(WARNING) << "tf_blade: " << name_ << ": engine " << index_ << " " << why << "; others serve for a while";
}

void EngineSlot::ErrorConfirmed(bool confirmed, bool probe) {
  if (!confirmed) {
    Opened(stats_->breaker.Failure(NowNs(), probe), "failed repeatedly");
  } else {
    Withdraw(probe);
  }
}

double EngineSlot::LargestExcess(tensorflow::OpKernelContext* ctx, const ShadowedCall& shadowed,
                                 const ShadowPlan& plan) const {
  double excess = 0;
  for (size_t i = 0; i < shadowed.outputs.size(); ++i) {
    const tensorflow::Tensor& expected = *ctx->mutable_output(static_cast<int>(i));
    const double drift = DriftOf(expected, shadowed.outputs[i]);
    stats_->shadow.Seen(drift);
    if (drift > plan.Tolerance(expected.dtype())) excess = std::max(excess, drift);
  }
  return excess;
}

void EngineSlot::Compare(tensorflow::OpKernelContext* ctx, const ShadowedCall& shadowed, const ShadowPlan& plan,
                         const absl::Status& status, bool current) {
  const bool cut_short = absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
  if (!current || cut_short) {
    tf_blade::Count(stats_->shadow.skipped);
    Withdraw(shadowed.probe);
    return;
  }
  tf_blade::Count(stats_->shadow.runs);
  // A result where TensorFlow has an error is as wrong as one can be.
  const double excess = status.ok() ? LargestExcess(ctx, shadowed, plan) : std::numeric_limits<double>::infinity();
  if (excess == 0) {
    stats_->breaker.Agreement(shadowed.probe);
    return;
  }
  tf_blade::Count(stats_->shadow.drifts);
  LOG(WARNING) << "tf_blade: " << name_ << ": engine " << index_ << "'s result is off TensorFlow's by " << excess
               << " of its largest magnitude";
  Opened(stats_->breaker.Drift(NowNs(), shadowed.probe), "drifted repeatedly");
}

}  // namespace tf_blade
