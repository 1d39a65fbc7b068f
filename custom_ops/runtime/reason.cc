#include "custom_ops/runtime/reason.h"

#include <string>

#include "absl/strings/cord.h"

namespace tf_blade {
namespace {

constexpr absl::string_view kPayload = "type.tf_blade/reason";

constexpr absl::string_view kNames[] = {
    "none",     "corrupt",    "version",   "hash",         "signature",  "backend",
    "isa",      "load",       "untrusted", "library",      "device",     "compute_capability",
    "disabled", "dtype",      "rank",      "shape",        "constraint", "uninitialized",
    "guard",    "init_error", "run_error", "engine_error", "no_memory",  "breaker_open",
};
static_assert(sizeof(kNames) / sizeof(kNames[0]) == static_cast<size_t>(Reason::kCount), "a name for each reason");

}  // namespace

absl::string_view ReasonName(Reason reason) {
  return reason < Reason::kCount ? kNames[static_cast<size_t>(reason)] : absl::string_view("unknown");
}

absl::Status Refuse(Reason reason, absl::string_view message) {
  absl::Status status(absl::StatusCode::kFailedPrecondition, message);
  const char code = static_cast<char>(reason);
  status.SetPayload(kPayload, absl::Cord(absl::string_view(&code, 1)));
  return status;
}

Reason ReasonOf(const absl::Status& status) {
  if (status.ok()) return Reason::kNone;
  if (status.code() == absl::StatusCode::kResourceExhausted) return Reason::kNoMemory;
  const auto payload = status.GetPayload(kPayload);
  if (!payload.has_value() || payload->size() != 1) return Reason::kLoad;
  return static_cast<Reason>(std::string(*payload)[0]);
}

}  // namespace tf_blade
