// Runs of a plan: one TensorRT context with all that a call needs, for one optimization profile. Pooled by the state.
#ifndef TF_BLADE_CUSTOM_OPS_TENSORRT_EXECUTION_H_
#define TF_BLADE_CUSTOM_OPS_TENSORRT_EXECUTION_H_

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "custom_ops/runtime/engine.h"
#include "custom_ops/tensorrt/cuda_driver.h"
#include "custom_ops/tensorrt/library.h"
#include "custom_ops/tensorrt/nvinfer.h"
#include "custom_ops/tensorrt/plan_data.h"

namespace tf_blade {

size_t BytesOf(const TensorView& view);

// By input of a plan; empty for those that are no shape tensors.
using ShapeValues = std::vector<std::vector<int64_t>>;

// A plan as it was loaded. Its states share it; the last of them may outlive the engine.
struct LoadedPlan {
  PlanData data;
  std::string plan;  // only where weights are put into it: each state has an engine of its own then
  const TensorRtLibrary* library = nullptr;
  const CudaDevice* device = nullptr;
  mutable PlanLogger logger;
  RuntimePtr runtime;  // before all that it makes
};

// Memory of a device that grows as calls need it.
class DeviceArena {
 public:
  explicit DeviceArena(const CudaDevice& device) : device_(device) {}
  ~DeviceArena() { Free(); }
  DeviceArena(const DeviceArena&) = delete;
  DeviceArena& operator=(const DeviceArena&) = delete;

  bool Fits(size_t bytes) const { return bytes <= bytes_; }
  // False when there is no memory. What was in it is gone where it had to grow. The device is the calling thread's.
  bool Reserve(size_t bytes);
  void Free();
  char* data() const { return data_; }

 private:
  const CudaDevice& device_;
  char* data_ = nullptr;
  size_t bytes_ = 0;
};

// A plan with its weights, ready to run. Outlives its executions.
struct ReadyPlan {
  std::shared_ptr<const LoadedPlan> loaded;
  std::shared_ptr<nvinfer1::ICudaEngine> engine;
  // Weights that the plan reads as inputs, brought to the device once; by input of the plan, null for all others.
  std::vector<const void*> weights;
  std::unique_ptr<DeviceArena> weight_memory;

  const PlanData& data() const { return loaded->data; }
  const CudaDevice& device() const { return *loaded->device; }
};

// Memory for an output whose dimensions TensorRT finds while it runs.
class FoundOutput : public nvinfer1::IOutputAllocator {
 public:
  explicit FoundOutput(const CudaDevice& device) : arena_(device) {}

  // For one run; `host` is null where the arena is to be used.
  void Begin(Host* host) {
    host_ = host;
    data_ = nullptr;
    failed_ = false;
    dims_.nbDims = -1;
  }
  void* reallocateOutputAsync(const char* name, void* memory, uint64_t size, uint64_t alignment,
                              cudaStream_t stream) override;
  void notifyShape(const char* name, const nvinfer1::Dims& dims) noexcept override;

  const void* data() const { return data_; }
  bool failed() const { return failed_; }  // for want of memory
  const nvinfer1::Dims& dims() const { return dims_; }

 private:
  DeviceArena arena_;
  Host* host_ = nullptr;
  void* data_ = nullptr;
  bool failed_ = false;
  nvinfer1::Dims dims_{};
};

// TensorFlow's allocator, for what TensorRT needs beside its workspace.
class HostAllocator : public nvinfer1::IGpuAsyncAllocator {
 public:
  void Begin(Host* host) { host_ = host; }
  void* allocateAsync(const uint64_t size, const uint64_t alignment, const nvinfer1::AllocatorFlags flags,
                      cudaStream_t stream) noexcept override;
  // The host takes all of it back when the call ends.
  bool deallocateAsync(void* const memory, cudaStream_t stream) noexcept override;

 private:
  Host* host_ = nullptr;
};

class Execution {
 public:
  // How many shapes an execution remembers, each with its CUDA graph where these are wanted.
  static constexpr size_t kShapes = 16;

  // Null when TensorRT gives none; the logger may know why. The device is the calling thread's.
  static std::unique_ptr<Execution> Make(const ReadyPlan& plan, int profile);
  ~Execution();
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  // The device is the calling thread's. Computes the outputs of one call, whose inputs lie within the profile.
  // `shape_values` are those of shape tensors, by input of the plan.
  Outcome Run(Host& host, absl::Span<const TensorView> inputs, const ShapeValues& shape_values);

 private:
  using Key = std::vector<int64_t>;

  struct Output {
    nvinfer1::Dims dims;
    bool found_in_run = false;  // its dimensions
    size_t bytes = 0;
    size_t offset = 0;  // in the arena
  };
  // What follows from the shapes of a call.
  struct ShapeEntry {
    Key key;
    std::vector<size_t> input_offsets;  // in the arena, by input of the plan
    std::vector<Output> outputs;
    size_t workspace_offset = 0;
    size_t arena_bytes = 0;
    bool has_found_outputs = false;
    int runs = 0;
    CUgraphExec_st* graph = nullptr;
    bool cannot_capture = false;
  };
  // One call.
  struct Call;

  Execution(const ReadyPlan& plan, int profile, ExecutionContextPtr context);

  Outcome Fail(Host& host, const std::string& what);
  Outcome FailOfCuda(Host& host, const std::string& what, int error);
  Key KeyOf(const Call& call) const;
  ShapeEntry* FindEntry(const Key& key);
  void ForgetGraph(ShapeEntry& entry);
  void ForgetGraphs();
  Outcome MakeEntry(Call& call, Key key, ShapeEntry** entry);
  Outcome SetShapes(Call& call);
  Outcome CollectOutputs(Call& call, ShapeEntry* entry);
  void LayOut(ShapeEntry* entry, absl::Span<const TensorView> inputs) const;
  Outcome PlaceInputs(Call& call);
  Outcome PlaceOutputs(Call& call);
  Outcome Start(Call& call);
  Outcome Launch(Call& call, CudaStream stream);
  void Capture(Call& call);
  Outcome Steps(Call& call);
  bool MakeRoom(Call& call);
  Outcome TakeOutputs(Call& call);

  const ReadyPlan& plan_;
  const PlanData& data_;
  const CudaFunctions& cuda_;
  ExecutionContextPtr context_;
  const size_t workspace_bytes_;
  DeviceArena arena_;
  std::vector<std::unique_ptr<FoundOutput>> found_;  // by output of the plan
  HostAllocator temporary_;
  CudaStream own_stream_ = nullptr;
  CudaStream last_stream_ = nullptr;
  // What TensorRT reads of shape tensors, until the next call sets others; by input of the plan.
  std::vector<std::vector<int64_t>> shape_memory_;
  std::list<ShapeEntry> entries_;        // the one used last first
  const ShapeEntry* current_ = nullptr;  // whose shapes the context has
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_TENSORRT_EXECUTION_H_
