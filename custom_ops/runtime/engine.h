// The engine interface: what BladeEngineOp knows of compiled code, and what compiled code gets from its host.
//
// An engine is immutable and shared by every kernel in the process that holds the same file. What depends on weights
// lives in an EngineState, what depends on one call in the Host. Neither side sees TensorFlow.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_ENGINE_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "custom_ops/runtime/reason.h"
#include "custom_ops/runtime/signature.h"

namespace tf_blade {

// The device that the memory of a call is on, where that is not the machine's, and the queue of its work.
struct DeviceQueue {
  std::string platform;  // as TensorFlow names it: "CUDA"
  int ordinal = 0;
  void* stream = nullptr;  // the platform's own, a CUstream of CUDA's
};

// Memory, threads and cancellation for one init or run. Callbacks come from the calling thread only.
class Host {
 public:
  using LoopBody = void (*)(void* arg, int64_t begin, int64_t end);

  virtual ~Host() = default;

  virtual int NumThreads() = 0;

  // Where inputs, outputs and what Alloc gives are, and in whose order they are read and written; null for the
  // machine's memory.
  virtual const DeviceQueue* Device() { return nullptr; }

  // Whether an input, or an output, is in the machine's memory all the same: TensorFlow keeps int32 there. Such an
  // output must be there when the run ends; all others may be queued.
  virtual bool InputOnMachine(int /*index*/) { return Device() == nullptr; }
  virtual bool OutputOnMachine(int /*index*/) { return Device() == nullptr; }

  // 64-byte aligned memory that is valid until it is released or the call returns; null when there is none.
  virtual void* Alloc(size_t bytes) = 0;

  // Takes back `memory`, which Alloc gave in this call, and all that Alloc gave since.
  virtual void Release(void* memory) = 0;

  // During init: the same, which lives as long as the state.
  virtual void* AllocPersistent(size_t bytes) = 0;

  // During run: the buffer of an output.
  virtual void* AllocOutput(int index, absl::Span<const int64_t> dims) = 0;

  virtual void ParallelFor(int64_t total, int64_t cost_ns, LoopBody body, void* arg) = 0;
  virtual bool Cancelled() = 0;
  virtual void SetError(const char* message) = 0;
};

enum class Outcome {
  kOk,
  kGuard,      // these inputs are not for this engine
  kError,      // an error that TensorFlow should report too
  kCancelled,  // Host::Cancelled() was seen to be true
  kNoMemory,
  kInvalid,  // the engine broke its contract
};

// What init made of a set of weights. Read by any number of threads at once.
class EngineState {
 public:
  virtual ~EngineState() = default;
};

class Engine {
 public:
  virtual ~Engine() = default;

  // Whether it can work for hosts whose memory is that device's; kDevice when it cannot.
  virtual absl::Status CanUse(const DeviceQueue& /*device*/) const {
    return Refuse(Reason::kDevice, "it works in the machine's memory");
  }

  // Prepares the weights. `inputs` holds all inputs of the signature; only weights have data. May leave *state null.
  virtual Outcome Init(Host& host, absl::Span<const TensorView> inputs, std::unique_ptr<EngineState>* state) const = 0;

  // Computes the outputs. The inputs have passed the signature's guard. Reentrant. On a device the work may be queued
  // still when it returns, unless it has failed.
  virtual Outcome Run(Host& host, const EngineState* state, absl::Span<const TensorView> inputs) const = 0;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_ENGINE_H_
