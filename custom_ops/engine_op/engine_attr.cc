#include "custom_ops/engine_op/engine_attr.h"

namespace tf_blade {

std::vector<absl::string_view> EngineFilesOf(const tensorflow::AttrValue* value) {
  std::vector<absl::string_view> files;
  if (value == nullptr) return files;
  for (const auto& file : value->list().s()) files.push_back(file);
  return files;
}

}  // namespace tf_blade
