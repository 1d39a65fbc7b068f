#include "custom_ops/tensorrt/cuda_driver.h"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "custom_ops/runtime/reason.h"

namespace tf_blade {
namespace {

constexpr char kLibrary[] = "libcuda.so.1";
// CUdevice_attribute.
constexpr int kCapabilityMajor = 75;
constexpr int kCapabilityMinor = 76;

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

std::string NameOf(const CudaFunctions& cuda, int error) {
  const char* name = nullptr;
  const bool known = cuda.get_error_name(error, &name) == 0 && name != nullptr;
  return known ? std::string(name) : absl::StrCat("CUDA error ", error);
}

absl::Status FindFunctions(void* library, CudaFunctions* cuda) {
  const bool found =
      Find(library, "cuInit", &cuda->init) && Find(library, "cuDeviceGetCount", &cuda->device_get_count) &&
      Find(library, "cuDeviceGet", &cuda->device_get) &&
      Find(library, "cuDeviceGetAttribute", &cuda->device_get_attribute) &&
      Find(library, "cuDevicePrimaryCtxRetain", &cuda->device_primary_ctx_retain) &&
      Find(library, "cuCtxPushCurrent_v2", &cuda->ctx_push_current) &&
      Find(library, "cuCtxPopCurrent_v2", &cuda->ctx_pop_current) &&
      Find(library, "cuStreamCreate", &cuda->stream_create) &&
      Find(library, "cuStreamDestroy_v2", &cuda->stream_destroy) &&
      Find(library, "cuStreamSynchronize", &cuda->stream_synchronize) &&
      Find(library, "cuStreamBeginCapture_v2", &cuda->stream_begin_capture) &&
      Find(library, "cuStreamEndCapture", &cuda->stream_end_capture) &&
      Find(library, "cuGraphInstantiateWithFlags", &cuda->graph_instantiate) &&
      Find(library, "cuGraphLaunch", &cuda->graph_launch) && Find(library, "cuGraphDestroy", &cuda->graph_destroy) &&
      Find(library, "cuGraphExecDestroy", &cuda->graph_exec_destroy) &&
      Find(library, "cuMemAlloc_v2", &cuda->mem_alloc) && Find(library, "cuMemFree_v2", &cuda->mem_free) &&
      Find(library, "cuMemcpyHtoDAsync_v2", &cuda->memcpy_htod_async) &&
      Find(library, "cuMemcpyDtoHAsync_v2", &cuda->memcpy_dtoh_async) &&
      Find(library, "cuMemcpyDtoDAsync_v2", &cuda->memcpy_dtod_async) &&
      Find(library, "cuGetErrorName", &cuda->get_error_name);
  if (!found) return Refuse(Reason::kDevice, absl::StrCat(kLibrary, " is too old: ", dlerror()));
  const int error = cuda->init(0);
  if (error == 0) return absl::OkStatus();
  return Refuse(Reason::kDevice, absl::StrCat("CUDA's driver does not start: ", NameOf(*cuda, error)));
}

// Never closed: streams and contexts outlive whoever asked first.
absl::StatusOr<CudaFunctions> LoadDriver() {
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Refuse(Reason::kDevice, absl::StrCat("there is no driver of CUDA: ", dlerror()));
  CudaFunctions cuda;
  const absl::Status status = FindFunctions(library, &cuda);
  if (!status.ok()) return status;
  return cuda;
}

}  // namespace

std::string CudaDevice::ErrorName(int error) const { return NameOf(cuda_, error); }

absl::StatusOr<std::unique_ptr<CudaDevice>> CudaDevice::Make(const CudaFunctions& cuda, int ordinal) {
  std::unique_ptr<CudaDevice> made(new CudaDevice(cuda));
  int count = 0;
  int device = 0;
  int major = 0;
  int minor = 0;
  int error = cuda.device_get_count(&count);
  if (error == 0 && ordinal >= count) {
    return Refuse(Reason::kDevice, absl::StrCat("there is no GPU ", ordinal, " among ", count));
  }
  if (error == 0) error = cuda.device_get(&device, ordinal);
  if (error == 0) error = cuda.device_get_attribute(&major, kCapabilityMajor, device);
  if (error == 0) error = cuda.device_get_attribute(&minor, kCapabilityMinor, device);
  if (error == 0) error = cuda.device_primary_ctx_retain(&made->context_, device);
  if (error != 0) return Refuse(Reason::kDevice, absl::StrCat("GPU ", ordinal, ": ", NameOf(cuda, error)));
  made->compute_capability_ = 10 * major + minor;
  return made;
}

absl::StatusOr<const CudaDevice*> CudaDevice::Open(int ordinal) {
  static auto* const mutex = std::make_unique<std::mutex>().release();
  static auto* const devices = std::make_unique<std::map<int, std::unique_ptr<CudaDevice>>>().release();
  std::lock_guard<std::mutex> lock(*mutex);
  std::unique_ptr<CudaDevice>& device = (*devices)[ordinal];
  if (device == nullptr) {
    const absl::StatusOr<CudaFunctions> cuda = LoadDriver();
    if (!cuda.ok()) return cuda.status();
    absl::StatusOr<std::unique_ptr<CudaDevice>> made = Make(*cuda, ordinal);
    if (!made.ok()) return made.status();
    device = *std::move(made);
  }
  return device.get();
}

}  // namespace tf_blade
