// Ed25519 (RFC 8032), by the BoringSSL that is part of every TensorFlow.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_ED25519_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_ED25519_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace tf_blade {

using PublicKey = std::array<uint8_t, 32>;
using KeySignature = std::array<uint8_t, 64>;

// Whether signatures can be verified in this process: the function is there, and right about signatures that are known
// to be good and bad. Where it is not, `VerifyEd25519` holds for no signature.
bool HasEd25519();

// Whether `signature` is the key's for `message`.
bool VerifyEd25519(const PublicKey& key, const KeySignature& signature, absl::string_view message);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_ED25519_H_
