#include "custom_ops/tensorrt/plan_data.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "custom_ops/runtime/byte_reader.h"
#include "custom_ops/runtime/reason.h"

namespace tf_blade {
namespace {

constexpr uint32_t kLayoutVersion = 1;
constexpr uint32_t kMaxTensors = 65536;
constexpr uint32_t kMaxProfiles = 64;
constexpr uint32_t kMaxValues = 4096;  // of a shape tensor
constexpr size_t kVersionOffset = 24;  // in a plan
constexpr size_t kSizeOffset = 16;

absl::Status Corrupt(absl::string_view what) {
  return Refuse(Reason::kCorrupt, absl::StrCat("section 'tensorrt': ", what));
}

// A count that is plausible; else the reader is of no more use.
bool ReadCount(ByteReader& reader, uint32_t limit, uint32_t* count) {
  *count = reader.Read<uint32_t>();
  return reader.ok() && *count <= limit;
}

bool ReadTensors(ByteReader& reader, uint32_t limit, std::vector<PlanTensor>* tensors) {
  uint32_t count;
  if (!ReadCount(reader, kMaxTensors, &count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    PlanTensor tensor;
    tensor.name = std::string(reader.ReadString());
    tensor.index = reader.Read<int32_t>();
    tensor.dtype = reader.Read<int32_t>();
    tensor.rank = reader.Read<uint8_t>();
    tensor.is_shape_tensor = reader.Read<uint8_t>() != 0;
    if (!reader.ok() || tensor.rank > kMaxPlanRank) return false;
    if (tensor.index < 0 || tensor.index >= static_cast<int64_t>(limit)) return false;
    tensors->push_back(std::move(tensor));
  }
  return true;
}

bool ReadProfile(ByteReader& reader, const std::vector<PlanTensor>& inputs, PlanProfile* profile) {
  for (const PlanTensor& input : inputs) {
    uint32_t count;
    if (!ReadCount(reader, kMaxValues, &count)) return false;
    if (!input.is_shape_tensor && count != static_cast<uint32_t>(input.rank)) return false;
    std::vector<PlanRange> ranges;
    for (uint32_t i = 0; i < count; ++i) {
      PlanRange range;
      range.min = reader.Read<int64_t>();
      range.opt = reader.Read<int64_t>();
      range.max = reader.Read<int64_t>();
      if (!reader.ok() || range.min > range.opt || range.opt > range.max) return false;
      ranges.push_back(range);
    }
    profile->push_back(std::move(ranges));
  }
  return true;
}

bool ReadWeight(ByteReader& reader, bool baked, uint32_t inputs, PlanWeight* weight) {
  weight->name = std::string(reader.ReadString());
  weight->index = reader.Read<int32_t>();
  weight->dtype = reader.Read<int32_t>();
  const int rank = reader.Read<uint8_t>();
  if (!reader.ok() || rank > kMaxPlanRank || weight->index < -1 || weight->index >= static_cast<int64_t>(inputs)) {
    return false;
  }
  std::vector<bool> seen(rank, false);
  for (int i = 0; i < rank; ++i) weight->dims.push_back(reader.Read<int64_t>());
  for (int i = 0; i < rank; ++i) {
    const int axis = reader.Read<uint8_t>();
    if (!reader.ok() || weight->dims[i] < 0 || axis >= rank || seen[axis]) return false;
    seen[axis] = true;
    weight->permutation.push_back(axis);
  }
  if (baked) {
    const absl::string_view digest = reader.ReadBytes(weight->sha256.size());
    if (!reader.ok()) return false;
    std::memcpy(weight->sha256.data(), digest.data(), digest.size());
  }
  if (weight->index < 0) weight->data = std::string(reader.ReadBytes(reader.Read<uint64_t>()));
  return reader.ok();
}

bool ReadLists(ByteReader& reader, uint32_t inputs, uint32_t outputs, PlanData* data) {
  if (!ReadTensors(reader, inputs, &data->inputs) || !ReadTensors(reader, outputs, &data->outputs)) return false;
  uint32_t count;
  if (!ReadCount(reader, kMaxProfiles, &count) || count == 0) return false;
  for (uint32_t i = 0; i < count; ++i) {
    data->profiles.emplace_back();
    if (!ReadProfile(reader, data->inputs, &data->profiles.back())) return false;
  }
  if (!ReadCount(reader, kMaxTensors, &count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    data->weights.emplace_back();
    if (!ReadWeight(reader, data->baked, inputs, &data->weights.back())) return false;
  }
  return true;
}

// Notes which inputs are weights, too.
absl::Status CheckSignature(const EngineSignature& signature, PlanData* checked) {
  for (PlanTensor& tensor : checked->inputs) {
    const EngineInput& input = signature.inputs[tensor.index];
    tensor.is_weight = input.is_weight;
    if (input.dtype != tensor.dtype || static_cast<int>(input.dims.size()) != tensor.rank) {
      return Refuse(Reason::kSignature, absl::StrCat("the plan's input '", tensor.name, "' is not the signature's"));
    }
  }
  const PlanData& data = *checked;
  std::vector<bool> made(signature.outputs.size(), false);
  for (const PlanTensor& tensor : data.outputs) {
    const EngineOutput& output = signature.outputs[tensor.index];
    if (output.dtype != tensor.dtype || static_cast<int>(output.dims.size()) != tensor.rank || made[tensor.index]) {
      return Refuse(Reason::kSignature, absl::StrCat("the plan's output '", tensor.name, "' is not the signature's"));
    }
    made[tensor.index] = true;
  }
  if (std::find(made.begin(), made.end(), false) != made.end()) {
    return Refuse(Reason::kSignature, "the plan does not make all outputs of the signature");
  }
  for (const PlanWeight& weight : data.weights) {
    if (weight.index >= 0 && !signature.inputs[weight.index].is_weight) {
      return Refuse(Reason::kSignature, absl::StrCat("the source of the weights '", weight.name, "' is no weight"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view FlavorName(Flavor flavor) { return flavor == Flavor::kTensorRt ? "TensorRT" : "TensorRT-RTX"; }

std::string VersionText(const PlanVersion& version) { return absl::StrJoin(version, "."); }

absl::StatusOr<PlanData> ParsePlanData(const EngineFile& file) {
  const EngineSection* const section = file.FindSection(kPlanDataSection);
  if (section == nullptr) return Corrupt("it is missing");
  ByteReader reader(section->data);
  const auto layout = reader.Read<uint32_t>();
  if (reader.ok() && layout != kLayoutVersion) {
    return Refuse(Reason::kVersion,
                  absl::StrCat("section 'tensorrt': version ", layout, ", this reads ", kLayoutVersion));
  }
  PlanData data;
  const auto flavor = reader.Read<uint8_t>();
  const auto flags = reader.Read<uint8_t>();
  const auto inputs = reader.Read<uint32_t>();
  const auto outputs = reader.Read<uint32_t>();
  if (!reader.ok() || flavor > 1) return Corrupt("its head is malformed");
  data.flavor = static_cast<Flavor>(flavor);
  data.stripped = (flags & 1) != 0;
  data.version_compatible = (flags & 2) != 0;
  data.hardware_compatible = (flags & 4) != 0;
  data.baked = (flags & 8) != 0;
  data.cuda_graphs = (flags & 16) != 0;
  if (inputs != file.signature.inputs.size() || outputs != file.signature.outputs.size()) {
    return Refuse(Reason::kSignature, "the plan was made for other inputs and outputs than the signature's");
  }
  if (!ReadLists(reader, inputs, outputs, &data)) return Corrupt("its lists are malformed");
  if (reader.position() != section->data.size()) return Corrupt("bytes follow it");
  const absl::Status fits = CheckSignature(file.signature, &data);
  if (!fits.ok()) return fits;
  return data;
}

absl::StatusOr<PlanVersion> ReadPlanHeader(absl::string_view plan) {
  // Four letters, of which the last three are the same for all kinds of plans. TensorRT-RTX's, with a v before, have
  // the size of all at 16.
  if (plan.size() < kVersionOffset + 4 || plan.substr(1, 3) != "trt") {
    return Refuse(Reason::kCorrupt, "section 'plan': this is no plan of TensorRT");
  }
  uint64_t size;
  std::memcpy(&size, plan.data() + kSizeOffset, sizeof(size));
  if (plan[0] == 'v' && size != plan.size()) return Refuse(Reason::kCorrupt, "section 'plan': it is cut short");
  PlanVersion version;
  for (size_t i = 0; i < version.size(); ++i) version[i] = static_cast<unsigned char>(plan[kVersionOffset + i]);
  return version;
}

}  // namespace tf_blade
