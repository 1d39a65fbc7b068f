// SHA-256 (FIPS 180-4), for the integrity of engine files.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_SHA256_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_SHA256_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace tf_blade {

using Digest = std::array<uint8_t, 32>;

Digest Sha256(absl::string_view bytes);

// Lower-case hexadecimal digits of the first `bytes` bytes.
std::string DigestHex(const Digest& digest, int bytes = 32);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_SHA256_H_
