#include "custom_ops/tensorrt/tensorrt_engine.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "custom_ops/disc/ral.h"
#include "custom_ops/runtime/registry.h"
#include "custom_ops/runtime/slot_pool.h"
#include "custom_ops/tensorrt/execution.h"
#include "custom_ops/tensorrt/library.h"
#include "custom_ops/tensorrt/weights.h"

namespace tf_blade {
namespace {

constexpr int kOrdinal = 0;
constexpr absl::string_view kCudaPlatform = "CUDA";
constexpr int kAmpere = 80;

using ExecutionPool = SlotPool<Execution>;

class TensorRtState : public EngineState {
 public:
  explicit TensorRtState(ReadyPlan plan) : plan_(std::move(plan)) {
    for (size_t i = 0; i < plan_.data().profiles.size(); ++i) pools_.push_back(std::make_unique<ExecutionPool>());
  }
  ~TensorRtState() override {
    const CudaDevice::Use use(plan_.device());
    pools_.clear();
    plan_.weight_memory.reset();
    plan_.engine.reset();
  }

  // An execution for the duration of a call; null where TensorRT gives none.
  class Lease {
   public:
    Lease(const TensorRtState& state, int profile)
        : pool_(*state.pools_[profile]),
          execution_(pool_.TakeOrMake([&state, profile] { return Execution::Make(state.plan_, profile); })) {}
    ~Lease() { pool_.Give(std::move(execution_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Execution* get() const { return execution_.get(); }

   private:
    ExecutionPool& pool_;
    std::unique_ptr<Execution> execution_;
  };

 private:
  ReadyPlan plan_;
  std::vector<std::unique_ptr<ExecutionPool>> pools_;  // by profile
};

bool Within(const std::vector<PlanRange>& ranges, absl::Span<const int64_t> values) {
  if (ranges.size() != values.size()) return false;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] < ranges[i].min || values[i] > ranges[i].max) return false;
  }
  return true;
}

std::string Joined(const std::string& a, const std::string& b) { return b.empty() ? a : absl::StrCat(a, ": ", b); }

class TensorRtEngine : public Engine {
 public:
  TensorRtEngine(std::shared_ptr<const LoadedPlan> loaded, EnginePtr first)
      : loaded_(std::move(loaded)), data_(loaded_->data), engine_(std::move(first)) {}
  ~TensorRtEngine() override {
    const CudaDevice::Use use(*loaded_->device);
    engine_.reset();
  }

  absl::Status CanUse(const DeviceQueue& device) const override {
    if (device.platform != kCudaPlatform) return Refuse(Reason::kDevice, "plans are for GPUs of CUDA's");
    if (device.stream == nullptr) return Refuse(Reason::kDevice, "its stream cannot be reached");
    if (device.ordinal == kOrdinal) return absl::OkStatus();
    return Refuse(Reason::kDevice,
                  absl::StrCat("the plan is loaded on GPU ", kOrdinal, ", not on GPU ", device.ordinal));
  }

  Outcome Init(Host& host, absl::Span<const TensorView> inputs, std::unique_ptr<EngineState>* state) const override {
    const CudaDevice::Use use(*loaded_->device);
    ReadyPlan plan{loaded_, TakeEngine(), std::vector<const void*>(data_.inputs.size(), nullptr), nullptr};
    absl::Status status =
        plan.engine == nullptr ? absl::InternalError(Joined("no engine", loaded_->logger.Take())) : absl::OkStatus();
    if (status.ok() && !data_.weights.empty()) {
      status = data_.baked ? CheckBaked(host, inputs) : Refit(host, *plan.engine, inputs);
    }
    if (status.ok()) status = BringWeights(host, inputs, &plan);
    if (!status.ok()) {
      host.SetError(std::string(status.message()).c_str());
      return status.code() == absl::StatusCode::kResourceExhausted ? Outcome::kNoMemory : Outcome::kInvalid;
    }
    *state = std::make_unique<TensorRtState>(std::move(plan));
    return Outcome::kOk;
  }

  Outcome Run(Host& host, const EngineState* state, absl::Span<const TensorView> inputs) const override {
    if (host.Cancelled()) return Outcome::kCancelled;
    const CudaDevice::Use use(*loaded_->device);
    ShapeValues values;
    if (!ReadShapeTensors(host, inputs, &values)) {
      host.SetError("the values of a shape tensor cannot be read");
      return Outcome::kInvalid;
    }
    const int profile = ChooseProfile(inputs, values);
    if (profile < 0) {
      host.SetError("the shapes are in none of the plan's profiles");
      return Outcome::kGuard;
    }
    const TensorRtState::Lease lease(*static_cast<const TensorRtState*>(state), profile);
    if (lease.get() == nullptr) {
      host.SetError(Joined("TensorRT gives no context", loaded_->logger.Take()).c_str());
      return Outcome::kNoMemory;
    }
    return lease.get()->Run(host, inputs, values);
  }

 private:
  // The engine that the next state gets: where weights are put into it, no other state may have it too.
  std::shared_ptr<nvinfer1::ICudaEngine> TakeEngine() const {
    std::lock_guard<std::mutex> lock(mutex_);
    if (loaded_->plan.empty()) return engine_;
    std::shared_ptr<nvinfer1::ICudaEngine> taken = std::move(engine_);
    engine_ = nullptr;
    if (taken != nullptr) return taken;
    return EnginePtr(loaded_->runtime->deserializeCudaEngine(loaded_->plan.data(), loaded_->plan.size()));
  }

  // An input's bytes in the machine's memory: `copy` is where they are brought if they are elsewhere.
  bool ToMachine(Host& host, absl::Span<const TensorView> inputs, int index, std::string* copy,
                 const void** data) const {
    const TensorView& view = inputs[index];
    *data = view.data;
    if (host.InputOnMachine(index)) return true;
    const DeviceQueue* const device = host.Device();
    const size_t bytes = BytesOf(view);
    copy->resize(bytes);
    *data = copy->data();
    if (bytes == 0) return true;
    const CudaFunctions& cuda = loaded_->device->cuda();
    auto* const stream = static_cast<CudaStream>(device->stream);
    const auto from = reinterpret_cast<CudaAddress>(view.data);
    return cuda.memcpy_dtoh_async(copy->data(), from, bytes, stream) == 0 && cuda.stream_synchronize(stream) == 0;
  }

  bool ReadShapeTensors(Host& host, absl::Span<const TensorView> inputs, ShapeValues* values) const {
    values->resize(data_.inputs.size());
    for (size_t i = 0; i < data_.inputs.size(); ++i) {
      const PlanTensor& input = data_.inputs[i];
      if (!input.is_shape_tensor) continue;
      const TensorView& view = inputs[input.index];
      std::string copy;
      const void* data;
      if (!ToMachine(host, inputs, input.index, &copy, &data)) return false;
      int64_t count = 1;
      for (int d = 0; d < view.rank; ++d) count *= view.dims[d];
      for (int64_t j = 0; j < count; ++j) (*values)[i].push_back(ValueAt(data, input.dtype, j));
    }
    return true;
  }

  static int64_t ValueAt(const void* data, int32_t dtype, int64_t index) {
    return dtype == BLADE_I64 ? static_cast<const int64_t*>(data)[index] : static_cast<const int32_t*>(data)[index];
  }

  // The first profile that these shapes and values lie in; -1 if there is none.
  int ChooseProfile(absl::Span<const TensorView> inputs, const ShapeValues& values) const {
    for (size_t p = 0; p < data_.profiles.size(); ++p) {
      bool within = true;
      for (size_t i = 0; within && i < data_.inputs.size(); ++i) {
        const TensorView& view = inputs[data_.inputs[i].index];
        const bool is_shape = data_.inputs[i].is_shape_tensor;
        within = Within(data_.profiles[p][i],
                        is_shape ? absl::MakeConstSpan(values[i]) : absl::MakeConstSpan(view.dims, view.rank));
      }
      if (within) return static_cast<int>(p);
    }
    return -1;
  }

  // Puts the weights that the plan reads as inputs where it can read them, unless they are.
  absl::Status BringWeights(Host& host, absl::Span<const TensorView> inputs, ReadyPlan* plan) const {
    constexpr size_t kAlignment = 256;
    size_t total = 0;
    const auto size = [&inputs](const PlanTensor& input) {
      return (std::max<size_t>(BytesOf(inputs[input.index]), 1) + kAlignment - 1) / kAlignment * kAlignment;
    };
    const auto is_brought = [&host](const PlanTensor& input) {
      return input.is_weight && !input.is_shape_tensor && host.InputOnMachine(input.index);
    };
    for (const PlanTensor& input : data_.inputs) total += is_brought(input) ? size(input) : 0;
    if (total == 0) return absl::OkStatus();
    plan->weight_memory = std::make_unique<DeviceArena>(*loaded_->device);
    if (!plan->weight_memory->Reserve(total)) return absl::ResourceExhaustedError("no memory for weights on the GPU");
    const CudaFunctions& cuda = loaded_->device->cuda();
    char* place = plan->weight_memory->data();
    CudaStream stream = nullptr;
    int error = cuda.stream_create(&stream, 0);
    for (size_t i = 0; error == 0 && i < data_.inputs.size(); ++i) {
      if (!is_brought(data_.inputs[i])) continue;
      const TensorView& view = inputs[data_.inputs[i].index];
      const size_t bytes = BytesOf(view);
      if (bytes > 0) error = cuda.memcpy_htod_async(reinterpret_cast<CudaAddress>(place), view.data, bytes, stream);
      plan->weights[i] = place;
      place += size(data_.inputs[i]);
    }
    if (stream != nullptr) {
      const int done = cuda.stream_synchronize(stream);
      error = error == 0 ? done : error;
      cuda.stream_destroy(stream);
    }
    if (error == 0) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("weights cannot be brought to the GPU: ", loaded_->device->ErrorName(error)));
  }

  absl::Status CheckBaked(Host& host, absl::Span<const TensorView> inputs) const {
    for (const PlanWeight& weight : data_.weights) {
      if (weight.index < 0) continue;
      const TensorView& view = inputs[weight.index];
      std::string copy;
      const void* data;
      if (!ToMachine(host, inputs, weight.index, &copy, &data)) return absl::InternalError("weights cannot be read");
      if (Sha256(absl::string_view(static_cast<const char*>(data), BytesOf(view))) == weight.sha256) continue;
      return absl::FailedPreconditionError(absl::StrCat("the plan was built with other values of '", weight.name,
                                                        "', and its weights cannot be exchanged"));
    }
    return absl::OkStatus();
  }

  absl::Status Refit(Host& host, nvinfer1::ICudaEngine& engine, absl::Span<const TensorView> inputs) const {
    const RefitterPtr refitter = loaded_->library->CreateRefitter(engine, loaded_->logger);
    if (refitter == nullptr) return absl::InternalError(Joined("no refitter", loaded_->logger.Take()));
    std::vector<std::string> kept;  // until all are in
    for (const PlanWeight& weight : data_.weights) {
      absl::StatusOr<std::string> bytes = WeightsOf(host, weight, inputs);
      if (!bytes.ok()) return bytes.status();
      kept.push_back(*std::move(bytes));
      nvinfer1::DataType type;
      if (!ToPlanType(weight.dtype, &type)) return absl::InternalError("weights of a type that plans do not have");
      const auto count = static_cast<int64_t>(kept.back().size() / ElementBytes(weight.dtype));
      if (!refitter->setNamedWeights(weight.name.c_str(), nvinfer1::Weights{type, kept.back().data(), count})) {
        return absl::InternalError(
            Joined(absl::StrCat("the weights '", weight.name, "' are refused"), loaded_->logger.Take()));
      }
    }
    if (refitter->refitCudaEngine()) return absl::OkStatus();
    return absl::InternalError(Joined("the weights cannot be put in", loaded_->logger.Take()));
  }

  absl::StatusOr<std::string> WeightsOf(Host& host, const PlanWeight& weight,
                                        absl::Span<const TensorView> inputs) const {
    if (weight.index < 0) return weight.data;
    TensorView view = inputs[weight.index];
    std::string copy;
    const void* data;
    if (!ToMachine(host, inputs, weight.index, &copy, &data)) return absl::InternalError("weights cannot be read");
    view.data = const_cast<void*>(data);
    return WeightsForPlan(weight, view);
  }

  const std::shared_ptr<const LoadedPlan> loaded_;
  const PlanData& data_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<nvinfer1::ICudaEngine> engine_;  // for the next state
};

absl::Status CheckVersion(const PlanData& data, const TensorRtLibrary& library, const PlanVersion& plan) {
  const PlanVersion& here = library.version();
  if (plan == here || (data.version_compatible && plan[0] == here[0] && plan <= here)) return absl::OkStatus();
  return Refuse(Reason::kVersion, absl::StrCat("a plan of version ", VersionText(plan), ", this is ", library.Name()));
}

absl::Status CheckCapability(const EngineFile& file, const PlanData& data, const CudaDevice& device) {
  const int here = device.compute_capability();
  const std::vector<int32_t>& built_for = file.compute_capabilities;
  if (built_for.empty() || std::find(built_for.begin(), built_for.end(), here) != built_for.end()) {
    return absl::OkStatus();
  }
  if (data.hardware_compatible && here >= kAmpere) return absl::OkStatus();
  std::string names;
  for (const int32_t capability : built_for) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", capability / 10, ".", capability % 10);
  }
  return Refuse(Reason::kComputeCapability,
                absl::StrCat("a plan for compute capability ", names, ", this GPU has ", here / 10, ".", here % 10));
}

// TensorRT knows more of its plans than anybody; its text says what it was.
absl::Status NotDeserialized(const std::string& why) {
  const bool is_capability =
      why.find("compute capability") != std::string::npos || why.find("cannot run on this GPU") != std::string::npos;
  return Refuse(is_capability ? Reason::kComputeCapability : Reason::kLoad,
                Joined("the plan cannot be deserialized", why));
}

absl::Status CheckTensor(const nvinfer1::ICudaEngine& engine, const PlanTensor& tensor, nvinfer1::TensorIOMode mode) {
  const char* const name = tensor.name.c_str();
  const bool on_machine = engine.getTensorLocation(name) == nvinfer1::TensorLocation::kHOST;
  const bool fits = engine.getTensorIOMode(name) == mode &&
                    FromPlanType(engine.getTensorDataType(name)) == tensor.dtype &&
                    engine.getTensorShape(name).nbDims == tensor.rank && on_machine == tensor.is_shape_tensor;
  if (fits && !(tensor.is_shape_tensor && mode == nvinfer1::TensorIOMode::kOUTPUT)) return absl::OkStatus();
  return Refuse(Reason::kSignature, absl::StrCat("the plan's tensor '", name, "' is not what the engine file says"));
}

absl::Status CheckEngine(const nvinfer1::ICudaEngine& engine, const PlanData& data) {
  const auto tensors = static_cast<int64_t>(data.inputs.size() + data.outputs.size());
  if (engine.getNbIOTensors() != tensors ||
      engine.getNbOptimizationProfiles() < static_cast<int64_t>(data.profiles.size())) {
    return Refuse(Reason::kSignature, "the plan has other tensors or profiles than the engine file says");
  }
  for (const PlanTensor& tensor : data.inputs) {
    const absl::Status status = CheckTensor(engine, tensor, nvinfer1::TensorIOMode::kINPUT);
    if (!status.ok()) return status;
  }
  for (const PlanTensor& tensor : data.outputs) {
    const absl::Status status = CheckTensor(engine, tensor, nvinfer1::TensorIOMode::kOUTPUT);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// What can be known of a plan before a GPU is asked for.
absl::Status LoadLibrary(const EngineFile& file, absl::string_view plan, LoadedPlan* loaded) {
  if (file.ral_version < TF_BLADE_RAL_OLDEST || file.ral_version > TF_BLADE_RAL_VERSION) {
    return Refuse(Reason::kVersion, absl::StrCat("engine file: RAL version ", file.ral_version, ", this runtime has ",
                                                 TF_BLADE_RAL_VERSION));
  }
  absl::StatusOr<PlanData> data = ParsePlanData(file);
  if (!data.ok()) return data.status();
  loaded->data = *std::move(data);
  const absl::StatusOr<PlanVersion> version = ReadPlanHeader(plan);
  if (!version.ok()) return version.status();
  const absl::StatusOr<const TensorRtLibrary*> library = TensorRtLibrary::Open(loaded->data.flavor);
  if (!library.ok()) return library.status();
  loaded->library = *library;
  loaded->runtime = loaded->library->CreateRuntime(loaded->logger);
  if (loaded->runtime == nullptr) {
    return Refuse(Reason::kLibrary,
                  Joined(absl::StrCat(loaded->library->Name(), " gives no runtime"), loaded->logger.Take()));
  }
  // Plans for several versions bring a runtime of their own: code, of which a model may have as much as it likes
  // (trust.h decides about all of it).
  if (loaded->data.version_compatible && loaded->data.flavor == kHeadersFlavor) {
    loaded->runtime->setEngineHostCodeAllowed(true);
  }
  return CheckVersion(loaded->data, *loaded->library, *version);
}

const bool kRegistered = RegisterEngineLoader(kTensorRtBackend, LoadTensorRtEngine, true);

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> LoadTensorRtEngine(const EngineFile& file) {
  (void)kRegistered;
  const EngineSection* const plan = file.FindSection(kPlanSection);
  if (plan == nullptr) return Refuse(Reason::kCorrupt, "engine file: it has no plan");
  const auto loaded = std::make_shared<LoadedPlan>();
  absl::Status status = LoadLibrary(file, plan->data, loaded.get());
  if (!status.ok()) return status;
  const absl::StatusOr<const CudaDevice*> device = CudaDevice::Open(kOrdinal);
  if (!device.ok()) return device.status();
  loaded->device = *device;
  status = CheckCapability(file, loaded->data, **device);
  if (!status.ok()) return status;
  const CudaDevice::Use use(**device);
  EnginePtr engine(loaded->runtime->deserializeCudaEngine(plan->data.data(), plan->data.size()));
  const std::string why = loaded->logger.Take();
  if (engine == nullptr) return NotDeserialized(why);
  if (loaded->data.flavor != kHeadersFlavor) {
    return Refuse(Reason::kLibrary,
                  absl::StrCat(loaded->library->Name(),
                               " took the plan, but to run it the op library must be built with the headers of ",
                               FlavorName(loaded->data.flavor)));
  }
  status = CheckEngine(*engine, loaded->data);
  if (!status.ok()) return status;
  if (!loaded->data.weights.empty() && !loaded->data.baked) loaded->plan = std::string(plan->data);
  return std::make_unique<TensorRtEngine>(loaded, std::move(engine));
}

}  // namespace tf_blade
