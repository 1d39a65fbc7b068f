// The op's attribute `engines`.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_ENGINE_ATTR_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_ENGINE_ATTR_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "tensorflow/core/framework/attr_value.pb.h"

namespace tf_blade {

// The engine files, uncopied: they live as long as `value` does. None when it is null.
std::vector<absl::string_view> EngineFilesOf(const tensorflow::AttrValue* value);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_ENGINE_ATTR_H_
