// A TensorRT of three models, for the one thing that cannot be had without a GPU: plans that run. Its classes derive
// from stubs that the tests make of TensorRT's headers: whatever is called here and not written here ends the process.
//
// A plan is 28 bytes of header and lines of "key value":
//   model affine     y = relu(x @ w) + b:   x [n, 5] f32, w [5, 3] and b [3] refitted (or 1.0 and 0.0 everywhere)
//   model inputs     the same, with w and b as inputs
//   model positive   y = those of x > 0, in order: x [n] f32, y [?] f32
//   model fill       y = x[0] count times: x [n] f32, count [1] i32 (a shape tensor), y [count] f32
//   profile MIN MAX  of n (fill: of count), one line for each profile
//   refit 1          weights are to be put in before it runs
//   host_code        there is code in it, which must have been allowed
//   fail WHAT        deserialize, context, shape, enqueue, refit
#include <dlfcn.h>

#include <NvInferRuntime.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "stubs.h"  // made by the tests

using namespace nvinfer1;

namespace {

constexpr int kK = 5, kN = 3;
constexpr size_t kHeader = 28, kWorkspace = 1000;

std::atomic<int64_t> live{0};  // objects handed out

struct Counted {
  Counted() { ++live; }
  ~Counted() { --live; }
};

struct Config {
  std::string model, fail;
  std::vector<std::pair<int64_t, int64_t>> profiles;
  bool refit = false;
};

bool IsAffine(const Config& config) { return config.model == "affine" || config.model == "inputs"; }

struct Values {
  std::vector<float> w = std::vector<float>(kK * kN, 1.0f), b = std::vector<float>(kN, 0.0f);
  bool filled = true;
};

void Queue(cudaStream_t stream, const std::function<void()>& work) {
  using Function = int (*)(cudaStream_t, const std::function<void()>*);
  static const auto queue = reinterpret_cast<Function>(dlsym(dlopen("libcuda.so.1", RTLD_NOW), "fake_cuda_queue"));
  queue(stream, &work);
}

class FakeContext : public StubVExecutionContext, Counted {
 public:
  FakeContext(const Config& config, const Values& values, ILogger& logger)
      : config_(config), values_(values), logger_(logger) {}

  bool setOptimizationProfileAsync(int32_t profile, cudaStream_t) noexcept override {
    profile_ = profile;
    return profile < static_cast<int>(config_.profiles.size());
  }
  bool setInputShape(const char* name, const Dims& dims) noexcept override {
    if (config_.fail == "shape") return Complain("the shape is told to be wrong");
    shapes_[name] = dims;
    return true;
  }
  int32_t inferShapes(int32_t, const char**) noexcept override { return 0; }
  Dims getTensorShape(const char* name) const noexcept override {
    const int64_t n = shapes_.at("x").d[0];
    if (name == std::string("x")) return shapes_.at("x");
    if (IsAffine(config_)) return {2, {n, kN}};
    if (config_.model == "positive") return {1, {-1}};
    return {1, {*static_cast<const int32_t*>(addresses_.at("count"))}};
  }
  bool setTensorAddress(const char* name, void* data) noexcept override { return Set(name, data); }
  bool setInputTensorAddress(const char* name, const void* data) noexcept override { return Set(name, data); }
  bool setOutputAllocator(const char*, IOutputAllocator* allocator) noexcept override {
    allocator_ = allocator;
    return true;
  }
  bool setTemporaryStorageAllocator(IGpuAllocator* allocator) noexcept override {
    temporary_ = allocator;
    return true;
  }
  void setDeviceMemoryV2(void* memory, int64_t size) noexcept override {
    workspace_ = static_cast<char*>(memory);
    workspace_size_ = size;
  }
  bool enqueueV3(cudaStream_t stream) noexcept override {
    if (config_.fail == "enqueue") return Complain("enqueueV3 is told to fail");
    if (!values_.filled) return Complain("there are no weights");
    const auto& profile = config_.profiles[profile_];
    const int64_t n = config_.model == "fill" ? getTensorShape("y").d[0] : shapes_.at("x").d[0];
    if (n < profile.first || n > profile.second) return Complain("the shape is out of the profile");
    if (workspace_ == nullptr || workspace_size_ < static_cast<int64_t>(kWorkspace)) return Complain("no workspace");
    if (temporary_ != nullptr) {  // as ops of unknown sizes do
      void* const memory = temporary_->allocateAsync(500, 256, 0, stream);
      if (memory == nullptr) return Complain("no temporary memory");
      Queue(stream, [memory] { std::memset(memory, 0xee, 500); });
      temporary_->deallocateAsync(memory, stream);
    }
    return IsAffine(config_) ? Affine(stream, n) : config_.model == "fill" ? Fill(stream, n) : Positive(stream, n);
  }

 private:
  bool Complain(const char* why) const {
    logger_.log(ILogger::Severity::kERROR, why);
    return false;
  }
  bool Set(const char* name, const void* data) {
    if (data == nullptr || (reinterpret_cast<uintptr_t>(data) % 256 != 0 && name != std::string("count"))) {
      return Complain("an address is not aligned");
    }
    addresses_[name] = const_cast<void*>(data);
    return true;
  }
  bool Affine(cudaStream_t stream, int64_t n) {
    const auto* const x = static_cast<const float*>(addresses_.at("x"));
    auto* const y = static_cast<float*>(addresses_.at("y"));
    Values given = values_;
    if (config_.model == "inputs") {
      std::copy_n(static_cast<const float*>(addresses_.at("w")), kK * kN, given.w.data());
      std::copy_n(static_cast<const float*>(addresses_.at("b")), kN, given.b.data());
    }
    Queue(stream, [x, y, n, values = given, workspace = workspace_] {
      std::memset(workspace, 0xff, kWorkspace);
      for (int64_t i = 0; i < n; ++i) {
        for (int j = 0; j < kN; ++j) {
          float sum = 0;
          for (int k = 0; k < kK; ++k) sum += x[i * kK + k] * values.w[k * kN + j];
          y[i * kN + j] = std::max(sum, 0.0f) + values.b[j];
        }
      }
    });
    return true;
  }
  bool Fill(cudaStream_t stream, int64_t n) {
    const auto* const x = static_cast<const float*>(addresses_.at("x"));
    auto* const y = static_cast<float*>(addresses_.at("y"));
    Queue(stream, [x, y, n] { std::fill(y, y + n, x[0]); });
    return true;
  }
  bool Positive(cudaStream_t stream, int64_t n) {
    const auto* const x = static_cast<const float*>(addresses_.at("x"));
    const int64_t count = std::count_if(x, x + n, [](float value) { return value > 0; });
    auto* y = static_cast<float*>(allocator_->reallocateOutputAsync("y", nullptr, 4 * count, 256, stream));
    if (y == nullptr) return Complain("no memory for an output");
    std::copy_if(x, x + n, y, [](float value) { return value > 0; });
    allocator_->notifyShape("y", {1, {count}});
    return true;
  }

  const Config& config_;
  const Values& values_;
  ILogger& logger_;
  int profile_ = 0;
  std::map<std::string, Dims> shapes_;
  std::map<std::string, void*> addresses_;
  IOutputAllocator* allocator_ = nullptr;
  IGpuAllocator* temporary_ = nullptr;
  char* workspace_ = nullptr;
  int64_t workspace_size_ = 0;
};

class OuterContext : public IExecutionContext {
 public:
  OuterContext(const Config& config, const Values& values, ILogger& logger) : impl_(config, values, logger) {
    mImpl = &impl_;
  }

 private:
  FakeContext impl_;
};

class FakeEngine : public StubVCudaEngine, Counted {
 public:
  FakeEngine(Config config, ILogger& logger) : config_(std::move(config)), logger_(logger) {
    values_.filled = !config_.refit;
  }

  IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy) noexcept override {
    if (config_.fail != "context") return new OuterContext(config_, values_, logger_);
    logger_.log(ILogger::Severity::kERROR, "createExecutionContext is told to fail");
    return nullptr;
  }
  int64_t getDeviceMemorySizeForProfileV2(int32_t) const noexcept override { return kWorkspace; }
  int32_t getNbOptimizationProfiles() const noexcept override { return static_cast<int>(config_.profiles.size()); }
  int32_t getNbIOTensors() const noexcept override {
    return config_.model == "fill" ? 3 : config_.model == "inputs" ? 4 : 2;
  }
  DataType getTensorDataType(const char* name) const noexcept override {
    return name == std::string("count") ? DataType::kINT32 : DataType::kFLOAT;
  }
  TensorLocation getTensorLocation(const char* name) const noexcept override {
    return name == std::string("count") ? TensorLocation::kHOST : TensorLocation::kDEVICE;
  }
  TensorIOMode getTensorIOMode(const char* name) const noexcept override {
    const std::string text(name);
    if (text == "y") return TensorIOMode::kOUTPUT;
    const bool weight = config_.model == "inputs" && (text == "w" || text == "b");
    const bool count = config_.model == "fill" && text == "count";
    return text == "x" || weight || count ? TensorIOMode::kINPUT : TensorIOMode::kNONE;
  }
  Dims getTensorShape(const char* name) const noexcept override {
    if (name == std::string("b")) return {1, {kN}};
    if (IsAffine(config_)) return {2, {-1, name == std::string("x") ? kK : kN}};
    return {1, {-1}};
  }

  Config config_;
  ILogger& logger_;
  Values values_;
};

class OuterEngine : public ICudaEngine {
 public:
  OuterEngine(Config config, ILogger& logger) : impl_(std::move(config), logger) { mImpl = &impl_; }
  FakeEngine impl_;
};

class FakeRefitter : public StubVRefitter, Counted {
 public:
  FakeRefitter(FakeEngine& engine, ILogger& logger) : engine_(engine), logger_(logger) {}

  bool setNamedWeights(const char* name, Weights weights) noexcept override {
    auto* const values = name == std::string("w")   ? &engine_.values_.w
                         : name == std::string("b") ? &engine_.values_.b
                                                    : nullptr;
    if (values == nullptr || weights.type != DataType::kFLOAT ||
        weights.count != static_cast<int64_t>(values->size())) {
      logger_.log(ILogger::Severity::kERROR, "no such weights");
      return false;
    }
    pending_[name] = {static_cast<const float*>(weights.values), values};
    return true;
  }
  bool refitCudaEngine() noexcept override {
    if (engine_.config_.fail == "refit" || (engine_.config_.refit && pending_.count("w") == 0)) {
      logger_.log(ILogger::Severity::kERROR, "weights are missing");
      return false;
    }
    for (auto& [name, item] : pending_) std::copy_n(item.first, item.second->size(), item.second->data());
    return engine_.values_.filled = true;
  }

 private:
  FakeEngine& engine_;
  ILogger& logger_;
  std::map<std::string, std::pair<const float*, std::vector<float>*>> pending_;
};

class OuterRefitter : public IRefitter {
 public:
  OuterRefitter(FakeEngine& engine, ILogger& logger) : impl_(engine, logger) { mImpl = &impl_; }

 private:
  FakeRefitter impl_;
};

class FakeRuntime : public StubVRuntime, Counted {
 public:
  explicit FakeRuntime(ILogger& logger) : logger_(logger) {}

  void setEngineHostCodeAllowed(bool allowed) noexcept override { host_code_allowed_ = allowed; }
  ICudaEngine* deserializeCudaEngine(const void* blob, size_t size) noexcept override {
    std::istringstream lines(std::string(static_cast<const char*>(blob), size).substr(kHeader));
    Config config;
    for (std::string key; lines >> key;) {
      if (key == "model") lines >> config.model;
      if (key == "fail") lines >> config.fail;
      if (key == "refit") lines >> config.refit;
      if (key == "host_code" && !host_code_allowed_) {
        logger_.log(ILogger::Severity::kERROR, "code of the plan is not allowed");
        return nullptr;
      }
      if (key == "profile") {
        config.profiles.emplace_back();
        lines >> config.profiles.back().first >> config.profiles.back().second;
      }
      if (key == "end") {
        if (config.fail != "deserialize") return new OuterEngine(config, logger_);
        logger_.log(ILogger::Severity::kINFO, "of no interest");
        logger_.log(ILogger::Severity::kERROR, "this plan cannot run on this GPU");
        return nullptr;
      }
    }
    logger_.log(ILogger::Severity::kERROR, "the plan is cut short");
    return nullptr;
  }

 private:
  ILogger& logger_;
  bool host_code_allowed_ = false;
};

class OuterRuntime : public IRuntime {
 public:
  explicit OuterRuntime(ILogger& logger) : impl_(logger) { mImpl = &impl_; }

 private:
  FakeRuntime impl_;
};

int32_t Part(int index, int32_t otherwise) {
  const char* const version = std::getenv("FAKE_TENSORRT_VERSION");
  if (version == nullptr) return otherwise;
  std::istringstream text(version);
  for (std::string part; std::getline(text, part, '.'); --index) {
    if (index == 0) return std::stoi(part);
  }
  return 0;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API int32_t getInferLibMajorVersion() noexcept { return Part(0, NV_TENSORRT_MAJOR); }
API int32_t getInferLibMinorVersion() noexcept { return Part(1, NV_TENSORRT_MINOR); }
API int32_t getInferLibPatchVersion() noexcept { return Part(2, NV_TENSORRT_PATCH); }
API int32_t getInferLibBuildVersion() noexcept { return Part(3, 7); }
API int32_t getInferLibVersion() noexcept { return NV_TENSORRT_VERSION; }
API void* createInferRuntime_INTERNAL(void* logger, int32_t version) noexcept {
  auto* const log = static_cast<ILogger*>(logger);
  if (version == NV_TENSORRT_VERSION && std::getenv("FAKE_TENSORRT_NO_RUNTIME") == nullptr)
    return new OuterRuntime(*log);
  log->log(ILogger::Severity::kERROR, "createInferRuntime is told to fail");
  return nullptr;
}
API void* createInferRefitter_INTERNAL(void* engine, void* logger, int32_t) noexcept {
  auto& outer = static_cast<OuterEngine&>(*static_cast<ICudaEngine*>(engine));
  return new OuterRefitter(outer.impl_, *static_cast<ILogger*>(logger));
}
API int64_t fake_tensorrt_live() { return live; }
