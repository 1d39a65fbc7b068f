// The original subgraph, for the calls that no engine serves.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_FALLBACK_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_FALLBACK_H_

#include <functional>
#include <map>
#include <mutex>

#include "absl/status/status.h"
#include "custom_ops/engine_op/input_sources.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_blade {

class Fallback {
 public:
  explicit Fallback(tensorflow::NameAttrList function) : function_(std::move(function)) {}

  // Runs the function on the inputs, sets the op's outputs or status, then calls `finished` (once) with the
  // status.
  void Run(tensorflow::OpKernelContext* ctx, const InputSources& sources,
           std::function<void(const absl::Status&)> finished);

 private:
  using Handle = tensorflow::FunctionLibraryRuntime::Handle;

  absl::Status Instantiate(tensorflow::OpKernelContext* ctx, const InputSources& sources, Handle* handle);

  const tensorflow::NameAttrList function_;
  std::mutex mutex_;
  // A stateful kernel may be shared by several executors, each with a library of its own.
  std::map<tensorflow::FunctionLibraryRuntime*, Handle> handles_;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_FALLBACK_H_
