// Which engines may run: those that a key of TF_BLADE_TRUSTED_KEYS has signed, where that is set; else all.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_TRUST_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_TRUST_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "custom_ops/runtime/ed25519.h"
#include "custom_ops/runtime/engine_file.h"

namespace tf_blade {

// The keys of a value of TF_BLADE_TRUSTED_KEYS: entries with colons between them, each a key (32 bytes in hexadecimal
// or base64, or a PEM block) or the path of a file of keys. One that is malformed spoils all, so that a mistake never
// trusts more than was meant.
absl::StatusOr<std::vector<PublicKey>> ParseTrustedKeys(absl::string_view value);

// The keys in a file's text: PEM blocks and lines with a key each; lines that are empty or begin with # are skipped.
absl::StatusOr<std::vector<PublicKey>> ParseKeyFile(absl::string_view text);

// Whether an engine may be loaded in this process, by the keys of now. Refuses with kUntrusted. The second form is for
// who keeps no more of a file.
absl::Status CheckTrust(const EngineFile& file);
absl::Status CheckTrust(const Digest& content_hash, const std::vector<EngineSigner>& signers);

// Whether a signature on an engine file is its key's, be that trusted or not.
bool IsSignedBy(const EngineFile& file, const EngineSigner& signer);

// The key as people compare it: "ed25519:" and 64 hexadecimal digits.
std::string KeyName(const PublicKey& key);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_TRUST_H_
