// Why an engine did not serve a call. Every refusal, from parsing its file to running it, carries one of these.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_REASON_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_REASON_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tf_blade {

enum class Reason : uint8_t {
  kNone,
  // Found when the engine is loaded; they hold for every call.
  kCorrupt,            // the file is malformed
  kVersion,            // the file format or the RAL is of another version
  kHash,               // the bytes are not those that were written
  kSignature,          // the engine's signature does not fit the op's inputs and outputs
  kBackend,            // no such backend is linked in
  kIsa,                // no code for this processor
  kLoad,               // the executable could not be loaded
  kUntrusted,          // signatures are required, and none of a trusted key is right
  kLibrary,            // the library that runs it is missing, or of another version or flavor
  kDevice,             // there is no device that could run it
  kComputeCapability,  // the device is of another compute capability than it was made for
  kDisabled,           // TF_BLADE_DISABLE is set
  // Found for one call.
  kDtype,          // an input's element type is not the signature's
  kRank,           // an input's rank is not the signature's
  kShape,          // a fixed dimension differs
  kConstraint,     // dimensions break an equality, an expression or a range
  kUninitialized,  // a variable has no value, or does not exist
  kGuard,          // the engine itself refused the inputs
  kInitError,      // the init program failed
  kRunError,       // the run program failed, or broke its contract
  kEngineError,    // the engine met an error that TensorFlow should report too
  kNoMemory,       // an allocation failed
  kBreakerOpen,    // the engine failed repeatedly and is not tried for a while
  kCount,
};

// The reason's name in logs and statistics, e.g. "breaker_open".
absl::string_view ReasonName(Reason reason);

// A status that carries a reason, and the reason that a status carries (of another origin: kNoMemory when a resource is
// exhausted, else kLoad).
absl::Status Refuse(Reason reason, absl::string_view message);
Reason ReasonOf(const absl::Status& status);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_REASON_H_
