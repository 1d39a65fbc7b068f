// The engine file: what an attribute of BladeEngineOp holds. Written by tf_blade/engines/format.py, which documents
// the layout.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_ENGINE_FILE_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_ENGINE_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "custom_ops/runtime/ed25519.h"
#include "custom_ops/runtime/sha256.h"
#include "custom_ops/runtime/signature.h"

namespace tf_blade {

constexpr uint32_t kEngineFormatVersion = 1;

struct EngineSection {
  std::string name;
  absl::string_view data;  // in the bytes that were parsed
};

// Whoever signed the file, as the file says: see trust.h.
struct EngineSigner {
  PublicKey key{};
  KeySignature signature{};
};

struct EngineFile {
  std::string backend;
  std::string backend_version;
  uint32_t ral_version = 0;
  std::vector<int32_t> isa_levels;
  std::vector<int32_t> compute_capabilities;
  Digest cluster_hash{};
  Digest content_hash{};
  EngineSignature signature;
  std::vector<EngineSection> sections;
  std::vector<EngineSigner> signers;

  const EngineSection* FindSection(absl::string_view name) const;
};

// Parses an engine file, trusting nothing in it. A refusal's reason is kCorrupt, kVersion or kHash. The result's
// sections point into `bytes`.
absl::StatusOr<EngineFile> ParseEngineFile(absl::string_view bytes);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_ENGINE_FILE_H_
