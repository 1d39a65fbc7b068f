// One in N of a sequence, in no rhythm.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_ONE_IN_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_ONE_IN_H_

#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace tf_blade {

// N of a text "1/N"; 0 for an empty one, -1 for any other.
inline int64_t ParseOneIn(absl::string_view text) {
  if (text.empty()) return 0;
  int64_t one_in = 0;
  if (!absl::ConsumePrefix(&text, "1/") || !absl::SimpleAtoi(text, &one_in) || one_in < 1) return -1;
  return one_in;
}

// Whether the item with this number is chosen. Spread evenly, but in no rhythm that the sequence could have too: by
// splitmix64's finalizer.
inline bool Chosen(uint64_t number, int64_t one_in) {
  if (one_in <= 1) return one_in == 1;
  uint64_t x = number + 1;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return (x ^ (x >> 31)) % static_cast<uint64_t>(one_in) == 0;
}

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_ONE_IN_H_
