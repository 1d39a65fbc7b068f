#include "custom_ops/runtime/environment.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <mutex>
#include <set>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "custom_ops/runtime/one_in.h"

namespace tf_blade {
namespace {

constexpr absl::string_view kPrefix = "TF_BLADE_";
// All that anything here or around reads: the op library, the Python package, the build, the tests. They are in the
// tables of docs/usage.md and CONTRIBUTING.md too (tests/tools/environment_test.py).
constexpr absl::string_view kKnown[] = {
    "TF_BLADE_BUILD_JOBS",
    "TF_BLADE_CXX",
    "TF_BLADE_DISABLE",
    "TF_BLADE_FAULTS",
    "TF_BLADE_LIBRARY",
    "TF_BLADE_LINKED_SERVER",
    "TF_BLADE_LOGS",
    "TF_BLADE_MAX_ISA",
    "TF_BLADE_PYTHON",
    "TF_BLADE_SHADOW",
    "TF_BLADE_SHADOW_TOLERANCE",
    "TF_BLADE_TENSORFLOW",
    "TF_BLADE_TENSORRT",
    "TF_BLADE_TENSORRT_PATH",
    "TF_BLADE_TRUSTED_KEYS",
    "TF_BLADE_ZOO_CACHE",
};

bool IsNew(absl::string_view message) {
  static auto* const mutex = std::make_unique<std::mutex>().release();
  static auto* const written = std::make_unique<std::set<std::string, std::less<>>>().release();
  std::lock_guard<std::mutex> lock(*mutex);
  return written->emplace(message).second;
}

void WarnOfEachUnknownVariable() {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const absl::string_view text(*entry);
    if (text.substr(0, kPrefix.size()) != kPrefix) continue;
    const absl::string_view name = text.substr(0, text.find('='));
    if (std::find(std::begin(kKnown), std::end(kKnown), name) != std::end(kKnown)) continue;
    LogWarningOnce(absl::StrCat("the environment variable ", name, " means nothing to tf_blade: is it misspelt?"));
  }
}

}  // namespace

void LogWarningOnce(absl::string_view message) {
  if (IsNew(message)) LOG(WARNING) << "tf_blade: " << message;
}

void LogErrorOnce(absl::string_view message) {
  if (IsNew(message)) LOG(ERROR) << "tf_blade: " << message;
}

void WarnOfUnknownVariables() {
  static std::once_flag once;
  std::call_once(once, WarnOfEachUnknownVariable);
}

bool DisabledByEnvironment() {
  const char* const value = std::getenv("TF_BLADE_DISABLE");
  const absl::string_view text = value == nullptr ? "" : value;
  if (text.empty() || text == "0") return false;
  if (text != "1") LogWarningOnce(absl::StrCat("TF_BLADE_DISABLE='", text, "' is neither 0 nor 1: no engine runs"));
  return true;
}

int64_t OneInFromEnvironment(const char* variable, absl::string_view meaning) {
  const char* const value = std::getenv(variable);
  const int64_t one_in = value == nullptr ? 0 : ParseOneIn(value);
  if (one_in >= 0) return one_in;
  LogWarningOnce(absl::StrCat(variable, "='", value, "' is not of the form 1/N: ", meaning));
  return 0;
}

}  // namespace tf_blade
