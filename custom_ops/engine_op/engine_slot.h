// One engine of a BladeEngineOp: loaded or refused, guarded, initialized, run, and left alone while it keeps failing.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_ENGINE_SLOT_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_ENGINE_SLOT_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "custom_ops/engine_op/call_context.h"
#include "custom_ops/engine_op/input_sources.h"
#include "custom_ops/engine_op/shadow.h"
#include "custom_ops/runtime/breaker.h"
#include "custom_ops/runtime/loaded_engine.h"
#include "custom_ops/runtime/log_limiter.h"
#include "custom_ops/runtime/slot_pool.h"
#include "custom_ops/runtime/stats.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_blade {

using ContextPool = SlotPool<CallContext>;

// What became of a call: served, cancelled, or refused with a reason.
struct Served {
  enum Kind { kYes, kCancelled, kNo } kind;
  Reason reason = Reason::kNone;
};

// Whether a call may try an engine, and whether it is the probe of the engine's half-open breaker.
struct Admitted {
  Reason reason = Reason::kNone;
  bool probe = false;
  bool loaded = true;  // else no call ever may
};

class EngineSlot {
 public:
  // `engine` may be a refusal: then no call is admitted, for its reason. Nor is one if it cannot work on the device.
  // `inputs` and `pool` outlive the slot.
  EngineSlot(int index, bool is_last, std::string name, absl::StatusOr<std::shared_ptr<const LoadedEngine>> engine,
             const OpDevice& device, const InputSources& inputs, const tensorflow::DataTypeVector& outputs,
             ContextPool* pool);

  // Once, before the first call. Counts and logs that the engine was refused, if it was: calls then pay nothing for it.
  void SetStats(std::shared_ptr<EngineStats> stats);

  // Whether a call could be served at all. Counts the refusal when not, unless it is the one of the load.
  Admitted Admit();

  // Tries to serve the call. `call` holds the inputs. Unless `shadowed` is null, it gets the outputs instead of
  // TensorFlow, and Compare tells the breaker of the success.
  Served Serve(tensorflow::OpKernelContext* ctx, CallContext& call, bool probe, ShadowedCall* shadowed);

  // The call ended without telling anything about the engine.
  void Withdraw(bool probe) {
    if (probe) stats_->breaker.Withdraw(NowNs());
  }

  // Counts a refusal that has its cause outside of the engine.
  void Refused(Reason reason, absl::string_view detail, bool probe);

  // What became of an error that the engine met: held against it when whoever served instead turned out not to have
  // one.
  void ErrorConfirmed(bool confirmed, bool probe);

  // TensorFlow's outcome of a call that the engine computed as well; `current` says that both saw the same weights.
  void Compare(tensorflow::OpKernelContext* ctx, const ShadowedCall& shadowed, const ShadowPlan& plan,
               const absl::Status& status, bool current);

 private:
  using StatePtr = std::shared_ptr<const BoundState>;

  absl::StatusOr<StatePtr> Bind(tensorflow::OpKernelContext* ctx, CallContext& call);
  absl::StatusOr<StatePtr> MakeState(tensorflow::OpKernelContext* ctx, CallContext& call, std::vector<WeightKey> key);
  void Publish(StatePtr state);
  Served Run(tensorflow::OpKernelContext* ctx, CallContext& call, const BoundState& state, bool probe,
             ShadowedCall* shadowed);
  Served Fail(Reason reason, absl::string_view detail, bool probe);
  Served NotTaken(const GuardVerdict& verdict, absl::Span<const TensorView> views, bool probe);
  void Count(Reason reason, absl::string_view detail);
  // Whether a refusal that is counted is to be logged too.
  bool CountAndLimit(Reason reason, int64_t* suppressed);
  void Log(Reason reason, absl::string_view detail, int64_t suppressed) const;
  void Opened(bool opened, absl::string_view why);
  double LargestExcess(tensorflow::OpKernelContext* ctx, const ShadowedCall& shadowed, const ShadowPlan& plan) const;

  const int index_;
  const bool is_last_;      // of the op's engines
  const std::string name_;  // for logs
  std::shared_ptr<const LoadedEngine> engine_;
  Reason load_reason_ = Reason::kNone;
  std::string load_detail_;
  const InputSources& inputs_;
  ContextPool* const pool_;
  std::shared_ptr<EngineStats> stats_;
  // TF_BLADE_FAULTS=1/N, for drills: one in N runs is taken for a failed one, whatever its engine made.
  const int64_t faults_;
  std::atomic<uint64_t> number_{0};  // of the next run
  std::array<LogLimiter, static_cast<size_t>(Reason::kCount)> log_limiters_;

  // The state made last. Contexts hold references of their own; the mutex is for making and replacing it.
  std::mutex mutex_;
  StatePtr current_;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_ENGINE_SLOT_H_
