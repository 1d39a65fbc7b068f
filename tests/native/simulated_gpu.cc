// A "GPU" for TensorFlow on machines without one: a pluggable device whose memory nobody can touch but its own copies
// and kernels. Its memory is one file, mapped twice: the addresses that TensorFlow gets can be neither read nor
// written, what works on the device works through the other mapping. Work is done at once, in the order in which it is
// queued.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "tensorflow/c/experimental/stream_executor/stream_executor.h"
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/tf_tensor.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

struct SP_Stream_st {};
struct SP_Event_st {};
struct SP_Timer_st {};

namespace {

constexpr uint64_t kBytes = uint64_t{1} << 30;  // pages that nobody writes take no memory
constexpr uint64_t kAlignment = 256;

char* device_memory = nullptr;
char* window = nullptr;
std::atomic<uint64_t> used{0};
std::atomic<int64_t> kernel_runs{0};

bool MapMemory() {
  const int file = memfd_create("simulated_gpu", 0);
  if (file < 0 || ftruncate(file, kBytes) != 0) return false;
  void* const first = mmap(nullptr, kBytes, PROT_NONE, MAP_SHARED, file, 0);
  void* const second = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (first == MAP_FAILED || second == MAP_FAILED) return false;
  device_memory = static_cast<char*>(first);
  window = static_cast<char*>(second);
  return true;
}

bool IsOnDevice(const void* memory) {
  const auto* const p = static_cast<const char*>(memory);
  return p >= device_memory && p < device_memory + kBytes;
}

// Where work on the device finds what is at an address of the device.
char* Through(const void* memory) { return window + (static_cast<const char*>(memory) - device_memory); }

void Check(bool condition, const char* message, TF_Status* status) {
  TF_SetStatus(status, condition ? TF_OK : TF_INTERNAL, condition ? "" : message);
}

// TensorFlow's own allocator takes large pieces and divides them; they are never given back.
void Allocate(const SP_Device*, uint64_t size, int64_t, SP_DeviceMemoryBase* memory) {
  const uint64_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
  const uint64_t begin = used.fetch_add(rounded);
  memory->struct_size = SP_DEVICE_MEMORY_BASE_STRUCT_SIZE;
  memory->opaque = begin + rounded > kBytes ? nullptr : device_memory + begin;
  memory->size = memory->opaque == nullptr ? 0 : size;
}

void CopyToMachine(void* to, const SP_DeviceMemoryBase* from, uint64_t size, TF_Status* status) {
  const bool right = IsOnDevice(from->opaque) && !IsOnDevice(to);
  Check(right, "a copy to the machine is none", status);
  if (right) std::memcpy(to, Through(from->opaque), size);
}

void CopyToDevice(SP_DeviceMemoryBase* to, const void* from, uint64_t size, TF_Status* status) {
  const bool right = IsOnDevice(to->opaque) && !IsOnDevice(from);
  Check(right, "a copy to the device is none", status);
  if (right) std::memcpy(Through(to->opaque), from, size);
}

void CopyOnDevice(SP_DeviceMemoryBase* to, const SP_DeviceMemoryBase* from, uint64_t size, TF_Status* status) {
  const bool right = IsOnDevice(to->opaque) && IsOnDevice(from->opaque);
  Check(right, "a copy on the device is none", status);
  if (right) std::memmove(Through(to->opaque), Through(from->opaque), size);
}

void Fill(SP_DeviceMemoryBase* to, int value, uint64_t size, TF_Status* status) {
  Check(IsOnDevice(to->opaque), "memory of the machine is to be filled", status);
  if (IsOnDevice(to->opaque)) std::memset(Through(to->opaque), value, size);
}

void Ok(TF_Status* status) { TF_SetStatus(status, TF_OK, ""); }

void FillMemoryFunctions(SP_StreamExecutor* se) {
  se->allocate = Allocate;
  se->deallocate = [](const SP_Device*, SP_DeviceMemoryBase*) {};
  se->host_memory_allocate = [](const SP_Device*, uint64_t size) -> void* {
    return aligned_alloc(64, (size + 63) / 64 * 64);
  };
  se->host_memory_deallocate = [](const SP_Device*, void* memory) { free(memory); };
  se->get_allocator_stats = [](const SP_Device*, SP_AllocatorStats*) -> TF_Bool { return 0; };
  se->device_memory_usage = [](const SP_Device*, int64_t* free_bytes, int64_t* total) -> TF_Bool {
    *free_bytes = *total = kBytes;
    return 1;
  };
  se->memcpy_dtoh = [](const SP_Device*, SP_Stream, void* to, const SP_DeviceMemoryBase* from, uint64_t size,
                       TF_Status* status) { CopyToMachine(to, from, size, status); };
  se->memcpy_htod = [](const SP_Device*, SP_Stream, SP_DeviceMemoryBase* to, const void* from, uint64_t size,
                       TF_Status* status) { CopyToDevice(to, from, size, status); };
  se->memcpy_dtod = [](const SP_Device*, SP_Stream, SP_DeviceMemoryBase* to, const SP_DeviceMemoryBase* from,
                       uint64_t size, TF_Status* status) { CopyOnDevice(to, from, size, status); };
  se->sync_memcpy_dtoh = [](const SP_Device*, void* to, const SP_DeviceMemoryBase* from, uint64_t size,
                            TF_Status* status) { CopyToMachine(to, from, size, status); };
  se->sync_memcpy_htod = [](const SP_Device*, SP_DeviceMemoryBase* to, const void* from, uint64_t size,
                            TF_Status* status) { CopyToDevice(to, from, size, status); };
  se->sync_memcpy_dtod = [](const SP_Device*, SP_DeviceMemoryBase* to, const SP_DeviceMemoryBase* from, uint64_t size,
                            TF_Status* status) { CopyOnDevice(to, from, size, status); };
  se->mem_zero = [](const SP_Device*, SP_Stream, SP_DeviceMemoryBase* to, uint64_t size, TF_Status* status) {
    Fill(to, 0, size, status);
  };
  se->memset = [](const SP_Device*, SP_Stream, SP_DeviceMemoryBase* to, uint8_t value, uint64_t size,
                  TF_Status* status) { Fill(to, value, size, status); };
  se->memset32 = [](const SP_Device*, SP_Stream, SP_DeviceMemoryBase* to, uint32_t value, uint64_t size,
                    TF_Status* status) {
    Check(IsOnDevice(to->opaque), "memory of the machine is to be filled", status);
    for (uint64_t i = 0; IsOnDevice(to->opaque) && i + sizeof(value) <= size; i += sizeof(value)) {
      std::memcpy(Through(to->opaque) + i, &value, sizeof(value));
    }
  };
}

void FillQueueFunctions(SP_StreamExecutor* se) {
  se->create_stream = [](const SP_Device*, SP_Stream* stream, TF_Status* status) {
    *stream = new SP_Stream_st;
    Ok(status);
  };
  se->destroy_stream = [](const SP_Device*, SP_Stream stream) { delete stream; };
  se->create_stream_dependency = [](const SP_Device*, SP_Stream, SP_Stream, TF_Status* status) { Ok(status); };
  se->get_stream_status = [](const SP_Device*, SP_Stream, TF_Status* status) { Ok(status); };
  se->create_event = [](const SP_Device*, SP_Event* event, TF_Status* status) {
    *event = new SP_Event_st;
    Ok(status);
  };
  se->destroy_event = [](const SP_Device*, SP_Event event) { delete event; };
  se->get_event_status = [](const SP_Device*, SP_Event) { return SE_EVENT_COMPLETE; };
  se->record_event = [](const SP_Device*, SP_Stream, SP_Event, TF_Status* status) { Ok(status); };
  se->wait_for_event = [](const SP_Device* const, SP_Stream, SP_Event, TF_Status* const status) { Ok(status); };
  se->create_timer = [](const SP_Device*, SP_Timer* timer, TF_Status* status) {
    *timer = new SP_Timer_st;
    Ok(status);
  };
  se->destroy_timer = [](const SP_Device*, SP_Timer timer) { delete timer; };
  se->start_timer = [](const SP_Device*, SP_Stream, SP_Timer, TF_Status* status) { Ok(status); };
  se->stop_timer = [](const SP_Device*, SP_Stream, SP_Timer, TF_Status* status) { Ok(status); };
  se->block_host_for_event = [](const SP_Device*, SP_Event, TF_Status* status) { Ok(status); };
  se->block_host_until_done = [](const SP_Device*, SP_Stream, TF_Status* status) { Ok(status); };
  se->synchronize_all_activity = [](const SP_Device*, TF_Status* status) { Ok(status); };
  se->host_callback = [](const SP_Device*, SP_Stream, SE_StatusCallbackFn call, void* argument) -> TF_Bool {
    TF_Status* const status = TF_NewStatus();
    call(argument, status);
    TF_DeleteStatus(status);
    return 1;
  };
}

void FillPlatformFunctions(SP_PlatformFns* fns) {
  fns->get_device_count = [](const SP_Platform*, int* count, TF_Status* status) {
    *count = 1;
    Ok(status);
  };
  fns->create_device = [](const SP_Platform*, SE_CreateDeviceParams* params, TF_Status* status) {
    params->device->struct_size = SP_DEVICE_STRUCT_SIZE;
    params->device->ordinal = params->ordinal;
    params->device->hardware_name = "simulated";
    params->device->device_vendor = "nobody";
    params->device->pci_bus_id = "";
    Ok(status);
  };
  fns->destroy_device = [](const SP_Platform*, SP_Device*) {};
  fns->create_device_fns = [](const SP_Platform*, SE_CreateDeviceFnsParams* params, TF_Status* status) {
    *params->device_fns = {SP_DEVICE_FNS_STRUCT_SIZE, nullptr, [](const SP_Device*) -> int32_t { return 0; },
                           [](const SP_Device*) -> int64_t { return 1 << 20; },
                           [](const SP_Device*) -> double { return 1; }};
    Ok(status);
  };
  fns->destroy_device_fns = [](const SP_Platform*, SP_DeviceFns*) {};
  fns->create_stream_executor = [](const SP_Platform*, SE_CreateStreamExecutorParams* params, TF_Status* status) {
    params->stream_executor->struct_size = SP_STREAMEXECUTOR_STRUCT_SIZE;
    FillMemoryFunctions(params->stream_executor);
    FillQueueFunctions(params->stream_executor);
    Ok(status);
  };
  fns->destroy_stream_executor = [](const SP_Platform*, SP_StreamExecutor*) {};
  fns->create_timer_fns = [](const SP_Platform*, SP_TimerFns* timer, TF_Status* status) {
    timer->struct_size = SP_TIMER_FNS_STRUCT_SIZE;
    timer->nanoseconds = [](SP_Timer) -> uint64_t { return 0; };
    Ok(status);
  };
  fns->destroy_timer_fns = [](const SP_Platform*, SP_TimerFns*) {};
}

// The inputs and the output of a kernel.
struct Addition {
  TF_OpKernelContext* const ctx;
  TF_Status* const status = TF_NewStatus();
  std::array<TF_Tensor*, 3> tensors{};

  explicit Addition(TF_OpKernelContext* context) : ctx(context) {
    for (int i = 0; i < 2 && ok(); ++i) TF_GetInput(ctx, i, &tensors[i], status);
  }
  ~Addition() {
    if (!ok()) TF_OpKernelContext_Failure(ctx, status);
    for (TF_Tensor* tensor : tensors) {
      if (tensor != nullptr) TF_DeleteTensor(tensor);
    }
    TF_DeleteStatus(status);
  }
  bool ok() const { return TF_GetCode(status) == TF_OK; }
  int64_t count(int i) const { return TF_TensorElementCount(tensors[i]); }
  float* elements(int i) const { return reinterpret_cast<float*>(Through(TF_TensorData(tensors[i]))); }

  // Whether all is well, and on the device.
  bool Ready() const {
    for (int i = 0; i < 3 && ok(); ++i) {
      const bool right = count(i) == 0 || IsOnDevice(TF_TensorData(tensors[i]));
      Check(right, "a kernel's tensor is in the machine's memory", status);
    }
    return ok();
  }

  // The dimensions of a sum, where one addend's are the last of the other's.
  void AllocateSum() {
    const TF_Tensor* const longer = tensors[TF_NumDims(tensors[0]) < TF_NumDims(tensors[1])];
    std::array<int64_t, 8> dims{};
    int64_t elements = 1;
    for (int d = 0; d < TF_NumDims(longer); ++d) elements *= dims[d] = TF_Dim(longer, d);
    tensors[2] = TF_AllocateOutput(ctx, 0, TF_FLOAT, dims.data(), TF_NumDims(longer), elements * sizeof(float), status);
  }
};

void Add(void*, TF_OpKernelContext* ctx) {
  Addition sum(ctx);
  if (sum.ok()) sum.AllocateSum();
  if (!sum.Ready() || sum.count(2) == 0) return;
  for (int64_t i = 0; i < sum.count(2); ++i) {
    sum.elements(2)[i] = sum.elements(0)[i % sum.count(0)] + sum.elements(1)[i % sum.count(1)];
  }
  ++kernel_runs;
}

}  // namespace

EXPORT void SE_InitPlugin(SE_PlatformRegistrationParams* params, TF_Status* status) {
  Check(MapMemory(), "no memory for the device", status);
  params->platform->struct_size = SP_PLATFORM_STRUCT_SIZE;
  params->platform->name = "SIMULATED";
  params->platform->type = "GPU";
  params->platform->use_bfc_allocator = 1;
  params->platform->force_memory_growth = 1;
  params->platform_fns->struct_size = SP_PLATFORM_FNS_STRUCT_SIZE;
  FillPlatformFunctions(params->platform_fns);
  params->destroy_platform = [](SP_Platform*) {};
  params->destroy_platform_fns = [](SP_PlatformFns*) {};
}

EXPORT void TF_InitKernel() {
  TF_Status* const status = TF_NewStatus();
  TF_KernelBuilder* const builder = TF_NewKernelBuilder("AddV2", "GPU", nullptr, Add, nullptr);
  TF_KernelBuilder_TypeConstraint(builder, "T", TF_FLOAT, status);
  if (TF_GetCode(status) == TF_OK) TF_RegisterKernelBuilder("SimulatedAdd", builder, status);
  TF_DeleteStatus(status);
}

// For tests, and for engines that work on the device.
EXPORT int64_t simulated_gpu_kernel_runs() { return kernel_runs; }
EXPORT void* simulated_gpu_through(const void* memory) { return IsOnDevice(memory) ? Through(memory) : nullptr; }
