// TensorRT's library, found when the first plan is loaded: one op library serves hosts with and without it.
#ifndef TF_BLADE_CUSTOM_OPS_TENSORRT_LIBRARY_H_
#define TF_BLADE_CUSTOM_OPS_TENSORRT_LIBRARY_H_

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "custom_ops/tensorrt/nvinfer.h"
#include "custom_ops/tensorrt/plan_data.h"

namespace tf_blade {

// Keeps what TensorRT says of its errors, for reasons. TensorRT may call it from any thread.
class PlanLogger : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* message) noexcept override;

  // What was said since the last time, the first first; empty when nothing was.
  std::string Take();

 private:
  std::mutex mutex_;
  std::string text_;
};

class TensorRtLibrary {
 public:
  // Opened once and never closed. TF_BLADE_TENSORRT_PATH names folders to look in first. Refusals have the reason
  // kLibrary.
  static absl::StatusOr<const TensorRtLibrary*> Open(Flavor flavor);

  const PlanVersion& version() const { return version_; }
  // "TensorRT 10.16.1.11"
  std::string Name() const;

  // `logger` outlives what is made. Null when it cannot be made; the logger may know why.
  RuntimePtr CreateRuntime(PlanLogger& logger) const;
  RefitterPtr CreateRefitter(nvinfer1::ICudaEngine& engine, PlanLogger& logger) const;

 private:
  static absl::StatusOr<std::unique_ptr<TensorRtLibrary>> Load(Flavor flavor);
  absl::Status CheckVersion() const;

  Flavor flavor_ = Flavor::kTensorRt;
  PlanVersion version_{};
  int32_t interface_version_ = 0;  // what callers tell it that they were compiled for
  void* (*create_runtime_)(void* logger, int32_t version) = nullptr;
  void* (*create_refitter_)(void* engine, void* logger, int32_t version) = nullptr;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_TENSORRT_LIBRARY_H_
