// Tells by its exit status whether signatures of engines can be verified in this program.
#include "custom_ops/runtime/ed25519.h"

int main() { return tf_blade::HasEd25519() ? 0 : 1; }
