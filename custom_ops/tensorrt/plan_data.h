// What an engine file says of a plan, and what the plan's own header says. tf_blade/engines/plan.py documents the
// layout.
#ifndef TF_BLADE_CUSTOM_OPS_TENSORRT_PLAN_DATA_H_
#define TF_BLADE_CUSTOM_OPS_TENSORRT_PLAN_DATA_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "custom_ops/runtime/engine_file.h"
#include "custom_ops/runtime/sha256.h"

namespace tf_blade {

inline constexpr char kPlanSection[] = "plan";
inline constexpr char kPlanDataSection[] = "tensorrt";
constexpr int kMaxPlanRank = 8;  // TensorRT's

enum class Flavor : uint8_t { kTensorRt = 0, kTensorRtRtx = 1 };

// "TensorRT" or "TensorRT-RTX".
absl::string_view FlavorName(Flavor flavor);

struct PlanTensor {
  std::string name;
  int index = 0;  // in the engine's signature
  int32_t dtype = 0;
  int rank = 0;
  bool is_shape_tensor = false;
  bool is_weight = false;  // by the signature
};

struct PlanRange {
  int64_t min = 0;
  int64_t opt = 0;
  int64_t max = 0;
};

// By input and dimension; for shape tensors by element.
using PlanProfile = std::vector<std::vector<PlanRange>>;

struct PlanWeight {
  std::string name;
  int index = -1;  // in the engine's signature; -1: `data` has them
  int32_t dtype = 0;
  std::vector<int64_t> dims;  // of the source
  std::vector<int> permutation;
  Digest sha256{};
  std::string data;
};

struct PlanData {
  Flavor flavor = Flavor::kTensorRt;
  bool stripped = false;
  bool version_compatible = false;
  bool hardware_compatible = false;
  bool baked = false;
  bool cuda_graphs = false;
  std::vector<PlanTensor> inputs;
  std::vector<PlanTensor> outputs;
  std::vector<PlanProfile> profiles;
  std::vector<PlanWeight> weights;
};

// Parses the section "tensorrt" of a file, trusting nothing, and checks it against the file's signature. Refusals have
// the reasons kCorrupt, kVersion and kSignature.
absl::StatusOr<PlanData> ParsePlanData(const EngineFile& file);

// The version of the library that made a plan: major, minor, patch, build.
using PlanVersion = std::array<int, 4>;
absl::StatusOr<PlanVersion> ReadPlanHeader(absl::string_view plan);
std::string VersionText(const PlanVersion& version);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_TENSORRT_PLAN_DATA_H_
