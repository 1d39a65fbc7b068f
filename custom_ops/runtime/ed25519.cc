#include "custom_ops/runtime/ed25519.h"

#include <cstddef>

// BoringSSL's <openssl/curve25519.h>. It is declared here because a machine's own OpenSSL headers may come first.
// TensorFlow's library exports it, though nothing promises that: weak, so that this library loads without it. What is
// linked statically asks for it besides, in built_for_linked.cc, since a weak reference takes nothing out of an
// archive.
extern "C" __attribute__((weak, visibility("default"))) int ED25519_verify(const uint8_t* message, size_t message_size,
                                                                           const uint8_t signature[64],
                                                                           const uint8_t public_key[32]);

namespace tf_blade {
namespace {

// RFC 8032, 7.1, test 2: a message of the one byte 0x72.
constexpr char kKnownMessage[] = "\x72";
constexpr PublicKey kKnownKey = {0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7, 0x0a,
                                 0xa7, 0x4d, 0x1b, 0x7e, 0xbc, 0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4,
                                 0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c};
constexpr KeySignature kKnownSignature = {0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f,
                                          0x64, 0x25, 0x40, 0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76,
                                          0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda, 0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99,
                                          0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c, 0x38, 0x7b, 0x2e, 0xae,
                                          0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00};

bool Verify(const PublicKey& key, const KeySignature& signature, absl::string_view message) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(message.data());
  return ED25519_verify(bytes, message.size(), signature.data(), key.data()) == 1;
}

// A function of the same name may come from elsewhere: what takes a wrong signature must not be asked.
bool TestItself() {
  if (&ED25519_verify == nullptr) return false;
  KeySignature wrong = kKnownSignature;
  wrong[40] ^= 1;
  PublicKey other = kKnownKey;
  other[0] ^= 1;
  return Verify(kKnownKey, kKnownSignature, kKnownMessage) && !Verify(kKnownKey, wrong, kKnownMessage) &&
         !Verify(kKnownKey, kKnownSignature, "\x73") && !Verify(other, kKnownSignature, kKnownMessage);
}

}  // namespace

bool HasEd25519() {
  static const bool works = TestItself();
  return works;
}

bool VerifyEd25519(const PublicKey& key, const KeySignature& signature, absl::string_view message) {
  return HasEd25519() && Verify(key, signature, message);
}

}  // namespace tf_blade
