// The few functions of CUDA's driver that running plans takes, found in libcuda.so.1 when the first plan is loaded.
#ifndef TF_BLADE_CUSTOM_OPS_TENSORRT_CUDA_DRIVER_H_
#define TF_BLADE_CUSTOM_OPS_TENSORRT_CUDA_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct CUctx_st;
struct CUstream_st;
struct CUgraph_st;
struct CUgraphExec_st;

namespace tf_blade {

using CudaStream = CUstream_st*;
using CudaAddress = unsigned long long;  // the driver's own type

// The driver's functions, under its names without versions. All give 0 when they succeed.
struct CudaFunctions {
  int (*init)(unsigned flags);
  int (*device_get_count)(int* count);
  int (*device_get)(int* device, int ordinal);
  int (*device_get_attribute)(int* value, int attribute, int device);
  int (*device_primary_ctx_retain)(CUctx_st** context, int device);
  int (*ctx_push_current)(CUctx_st* context);
  int (*ctx_pop_current)(CUctx_st** context);
  int (*stream_create)(CUstream_st** stream, unsigned flags);
  int (*stream_destroy)(CUstream_st* stream);
  int (*stream_synchronize)(CUstream_st* stream);
  int (*stream_begin_capture)(CUstream_st* stream, int mode);
  int (*stream_end_capture)(CUstream_st* stream, CUgraph_st** graph);
  int (*graph_instantiate)(CUgraphExec_st** executable, CUgraph_st* graph, unsigned long long flags);
  int (*graph_launch)(CUgraphExec_st* executable, CUstream_st* stream);
  int (*graph_destroy)(CUgraph_st* graph);
  int (*graph_exec_destroy)(CUgraphExec_st* executable);
  int (*mem_alloc)(CudaAddress* address, size_t bytes);
  int (*mem_free)(CudaAddress address);
  int (*memcpy_htod_async)(CudaAddress to, const void* from, size_t bytes, CUstream_st* stream);
  int (*memcpy_dtoh_async)(void* to, CudaAddress from, size_t bytes, CUstream_st* stream);
  int (*memcpy_dtod_async)(CudaAddress to, CudaAddress from, size_t bytes, CUstream_st* stream);
  int (*get_error_name)(int error, const char** name);
};

// A GPU, with its primary context, which TensorFlow uses too.
class CudaDevice {
 public:
  // Devices are opened once and never closed. Refusals have the reason kDevice.
  static absl::StatusOr<const CudaDevice*> Open(int ordinal);

  const CudaFunctions& cuda() const { return cuda_; }
  int compute_capability() const { return compute_capability_; }  // 89 for 8.9

  // "CUDA_ERROR_OUT_OF_MEMORY", say.
  std::string ErrorName(int error) const;

  // Makes the device's context the calling thread's while it lives.
  class Use {
   public:
    explicit Use(const CudaDevice& device) : device_(device) { device.cuda_.ctx_push_current(device.context_); }
    ~Use() {
      CUctx_st* former = nullptr;
      device_.cuda_.ctx_pop_current(&former);
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    const CudaDevice& device_;
  };

 private:
  explicit CudaDevice(const CudaFunctions& cuda) : cuda_(cuda) {}
  static absl::StatusOr<std::unique_ptr<CudaDevice>> Make(const CudaFunctions& cuda, int ordinal);

  const CudaFunctions cuda_;
  CUctx_st* context_ = nullptr;
  int compute_capability_ = 0;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_TENSORRT_CUDA_DRIVER_H_
