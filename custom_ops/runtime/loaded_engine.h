// Engines as a process holds them: one per engine file, shared by all kernels, with the states made of their weights.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_LOADED_ENGINE_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_LOADED_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "custom_ops/runtime/engine.h"
#include "custom_ops/runtime/memory.h"
#include "custom_ops/runtime/sha256.h"
#include "custom_ops/runtime/weak_cache.h"

namespace tf_blade {

// Identifies a weight's value. The address alone does where a state holds a reference on the buffer, so that nobody
// writes to it or gets the same address again; else the fingerprint covers what can change behind the address.
struct WeightKey {
  const void* data = nullptr;
  uint64_t fingerprint = 0;

  friend bool operator==(const WeightKey& a, const WeightKey& b) {
    return a.data == b.data && a.fingerprint == b.fingerprint;
  }
  friend bool operator<(const WeightKey& a, const WeightKey& b) {
    return std::tie(a.data, a.fingerprint) < std::tie(b.data, b.fingerprint);
  }
};

// What an engine's init made of one set of weights. Immutable once made.
struct BoundState {
  std::vector<WeightKey> key;
  std::shared_ptr<const void> weights;        // keeps the weights' buffers
  BlockList memory;                           // outlives `state`, which points into it
  std::shared_ptr<const void> device_memory;  // the same on a device
  std::shared_ptr<const void> account;        // says what is held, to whoever counts it
  std::unique_ptr<EngineState> state;
};

// A hash of memory that an adversary does not choose: fast, 64 bits, not cryptographic.
uint64_t Fingerprint(const void* data, size_t bytes, uint64_t seed);

struct LoadedEngine {
  std::string backend;
  std::string backend_version;
  Digest content_hash{};
  EngineSignature signature;
  std::vector<int> weight_inputs;
  // Whether the guard alone fixes the dimensions of every weight.
  bool weights_have_fixed_shapes = true;
  std::unique_ptr<Engine> engine;
  mutable WeakCache<std::vector<WeightKey>, BoundState> states;
};

// The engine of these bytes, from the process-wide cache where it is in use already. One that is not trusted is
// refused.
absl::StatusOr<std::shared_ptr<const LoadedEngine>> LoadEngine(absl::string_view bytes);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_LOADED_ENGINE_H_
