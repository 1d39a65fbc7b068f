#include "custom_ops/engine_op/c_api.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "custom_ops/engine_op/portable_pass.h"
#include "custom_ops/runtime/environment.h"
#include "custom_ops/runtime/loaded_engine.h"
#include "custom_ops/runtime/reason.h"
#include "custom_ops/runtime/stats.h"
#include "custom_ops/runtime/trust.h"

extern "C" {

char* tf_blade_runtime_stats_json(void) { return strdup(tf_blade::StatsJson().c_str()); }

void tf_blade_runtime_stats_reset(void) { tf_blade::ResetStats(); }

char* tf_blade_check_engine(const char* bytes, unsigned long long size) {
  const absl::Status status = tf_blade::DisabledByEnvironment()
                                  ? tf_blade::Refuse(tf_blade::Reason::kDisabled, "TF_BLADE_DISABLE is set")
                                  : tf_blade::LoadEngine(absl::string_view(bytes, size)).status();
  if (status.ok()) return nullptr;
  return strdup(absl::StrCat(tf_blade::ReasonName(tf_blade::ReasonOf(status)), ": ", status.message()).c_str());
}

char* tf_blade_engine_signers(const char* bytes, unsigned long long size) {
  const auto file = tf_blade::ParseEngineFile(absl::string_view(bytes, size));
  if (!file.ok() || file->signers.empty()) return nullptr;
  std::string lines;
  for (const tf_blade::EngineSigner& signer : file->signers) {
    const bool right = tf_blade::IsSignedBy(*file, signer);
    absl::StrAppend(&lines, tf_blade::KeyName(signer.key), right ? " right\n" : " wrong\n");
  }
  return strdup(lines.c_str());
}

void tf_blade_pause_portable(void) { tf_blade::PausePortablePass(); }

void tf_blade_resume_portable(void) { tf_blade::ResumePortablePass(); }

void tf_blade_free(char* text) { std::free(text); }

}  // extern "C"
