// The engine kind "disc": compiled executables behind the RAL's C interface (ral.h).
#ifndef TF_BLADE_CUSTOM_OPS_DISC_DISC_ENGINE_H_
#define TF_BLADE_CUSTOM_OPS_DISC_DISC_ENGINE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "custom_ops/runtime/engine.h"
#include "custom_ops/runtime/engine_file.h"

namespace tf_blade {

inline constexpr char kDiscBackend[] = "disc";
inline constexpr char kDiscElfSection[] = "elf";

// Loads the file's "elf" section and picks the code for this processor.
absl::StatusOr<std::unique_ptr<Engine>> LoadDiscEngine(const EngineFile& file);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_DISC_ENGINE_H_
