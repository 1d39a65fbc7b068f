#include "custom_ops/engine_op/input_sources.h"

#include <utility>

#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"

namespace tf_blade {

using tensorflow::OpKernelConstruction;
using tensorflow::ResourceHandle;
using tensorflow::Tensor;

absl::StatusOr<std::vector<int>> NamedVariables::Merge(int num_inputs) const {
  const int count = static_cast<int>(names.size());
  if (containers.size() != names.size() || places.size() != names.size()) {
    return absl::InvalidArgumentError("variables, containers and places must be of one length");
  }
  std::vector<int> sources;
  int next = 0;
  for (int i = 0; i < num_inputs + count; ++i) {
    if (next < count && places[next] == i) {
      sources.push_back(~next++);
    } else {
      sources.push_back(i - next);
    }
  }
  if (next < count) return absl::InvalidArgumentError("places must ascend and lie among the inputs");
  return sources;
}

InputSources::InputSources(OpKernelConstruction* ctx) {
  NamedVariables variables;
  OP_REQUIRES_OK(ctx, ctx->GetAttr("variables", &variables.names));
  OP_REQUIRES_OK(ctx, ctx->GetAttr("containers", &variables.containers));
  OP_REQUIRES_OK(ctx, ctx->GetAttr("places", &variables.places));
  absl::StatusOr<std::vector<int>> sources = variables.Merge(ctx->num_inputs());
  OP_REQUIRES_OK(ctx, sources.status());
  sources_ = *std::move(sources);
  for (size_t i = 0; i < variables.names.size(); ++i) {
    Tensor handle(tensorflow::DT_RESOURCE, tensorflow::TensorShape({}));
    handle.scalar<ResourceHandle>()() =
        tensorflow::MakeResourceHandle<tensorflow::Var>(ctx, variables.containers[i], variables.names[i]);
    handles_.push_back(std::move(handle));
  }
  for (const int source : sources_) {
    types_.push_back(source < 0 ? tensorflow::DT_RESOURCE : ctx->input_type(source));
  }
}

}  // namespace tf_blade
