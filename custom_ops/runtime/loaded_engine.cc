#include "custom_ops/runtime/loaded_engine.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "custom_ops/runtime/engine_file.h"
#include "custom_ops/runtime/registry.h"
#include "custom_ops/runtime/trust.h"

namespace tf_blade {
namespace {

using EngineCache = WeakCache<Digest, LoadedEngine>;

// Never destroyed: kernels may outlive static destruction.
EngineCache& GlobalEngineCache() {
  static EngineCache* const cache = std::make_unique<EngineCache>().release();
  return *cache;
}

void FindWeights(LoadedEngine* loaded) {
  const auto& inputs = loaded->signature.inputs;
  for (int i = 0; i < static_cast<int>(inputs.size()); ++i) {
    if (!inputs[i].is_weight) continue;
    loaded->weight_inputs.push_back(i);
    for (const DimProgram& dim : inputs[i].dims) {
      loaded->weights_have_fixed_shapes = loaded->weights_have_fixed_shapes && dim.is_const();
    }
  }
}

EngineCache::Result MakeEngine(EngineFile file) {
  const EngineLoader loader = FindEngineLoader(file.backend);
  if (loader == nullptr) {
    return Refuse(Reason::kBackend, absl::StrCat("no backend named '", file.backend, "' is linked in"));
  }
  absl::StatusOr<std::unique_ptr<Engine>> engine = loader(file);
  if (!engine.ok()) return engine.status();
  auto loaded = std::make_shared<LoadedEngine>();
  loaded->backend = std::move(file.backend);
  loaded->backend_version = std::move(file.backend_version);
  loaded->content_hash = file.content_hash;
  loaded->signature = std::move(file.signature);
  loaded->engine = *std::move(engine);
  FindWeights(loaded.get());
  return std::shared_ptr<const LoadedEngine>(std::move(loaded));
}

uint64_t Mix(uint64_t a, uint64_t b) {
  const __uint128_t product = static_cast<__uint128_t>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

// wyhash's construction: odd multipliers, 128-bit products, four independent lanes.
uint64_t Fingerprint(const void* data, size_t bytes, uint64_t seed) {
  constexpr uint64_t kSecret[5] = {0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x589965cc75374cc3,
                                   0x1d8e4e27c47d124f};
  const char* p = static_cast<const char*>(data);
  uint64_t lanes[4] = {seed, seed ^ kSecret[0], seed ^ kSecret[1], seed ^ kSecret[2]};
  size_t left = bytes;
  for (; left >= 64; p += 64, left -= 64) {
    uint64_t words[8];
    std::memcpy(words, p, 64);
    for (int i = 0; i < 4; ++i) lanes[i] = Mix(words[2 * i] ^ kSecret[i], words[2 * i + 1] ^ lanes[i]);
  }
  uint64_t words[8] = {};
  if (left > 0) std::memcpy(words, p, left);
  for (int i = 0; i < 4; ++i) lanes[i] = Mix(words[2 * i] ^ kSecret[i], words[2 * i + 1] ^ lanes[i]);
  const uint64_t folded = Mix(lanes[0] ^ kSecret[3], lanes[1] ^ kSecret[4]) ^ Mix(lanes[2] ^ kSecret[1], lanes[3]);
  return Mix(folded ^ kSecret[4], bytes ^ kSecret[0]);
}

absl::StatusOr<std::shared_ptr<const LoadedEngine>> LoadEngine(absl::string_view bytes) {
  absl::StatusOr<EngineFile> file = ParseEngineFile(bytes);
  if (!file.ok()) return file.status();
  // Before the cache, which holds the engine whoever signed it, and before anything of it can run.
  const absl::Status trusted = CheckTrust(*file);
  if (!trusted.ok()) return trusted;
  const Digest key = file->content_hash;
  return GlobalEngineCache().GetOrMake(key, [&file] { return MakeEngine(*std::move(file)); });
}

}  // namespace tf_blade
