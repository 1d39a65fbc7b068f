// The op is a part of a program that is built together with TensorFlow.
#include <cstddef>
#include <cstdint>

#include "custom_ops/engine_op/built_for.h"

// BoringSSL, which verifies signatures of engines, is an archive here. The weak reference of ed25519.cc would take
// nothing out of it, and no engine would be trusted where keys are required.
extern "C" __attribute__((visibility("default"))) int ED25519_verify(const uint8_t* message, size_t message_size,
                                                                     const uint8_t signature[64],
                                                                     const uint8_t public_key[32]);

namespace tf_blade {
namespace {

__attribute__((used)) const auto kVerifier = &ED25519_verify;

}  // namespace

const char* TensorFlowBuiltFor() { return ""; }

}  // namespace tf_blade
