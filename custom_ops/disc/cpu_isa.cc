#include "custom_ops/disc/cpu_isa.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "custom_ops/disc/ral.h"
#include "custom_ops/runtime/environment.h"

namespace tf_blade {
namespace {

int32_t ProcessorLevel() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // Every x86-64-v3 processor with AVX2, FMA and BMI2 has the level's other extensions (F16C, LZCNT, MOVBE) too; the
  // builtin includes the check that the operating system saves the registers.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return v4 ? BLADE_ISA_X86_64_V4 : v3 ? BLADE_ISA_X86_64_V3 : 0;
#else
  return 0;
#endif
}

}  // namespace

int32_t HostIsaLevel() {
  const int32_t level = ProcessorLevel();
  const char* text = std::getenv("TF_BLADE_MAX_ISA");
  int32_t limit = 0;
  if (text == nullptr || *text == '\0') return level;
  if (!absl::SimpleAtoi(absl::StripPrefix(text, "x86-64-v"), &limit)) {
    LogWarningOnce(absl::StrCat("TF_BLADE_MAX_ISA='", text, "' is not of the form x86-64-vN: there is no limit"));
    return level;
  }
  return std::min(level, limit);
}

}  // namespace tf_blade
