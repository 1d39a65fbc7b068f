// Calls of an engine with a plan for the TensorRT beside this, on the machine's memory or as on a GPU.
//
// usage: calls ENGINE_FILE host|device|unaligned|mixed|input N...
// mixed: on a GPU, but the first input and all outputs in the machine's memory; input: the first input only. One call
// for each N, the size that is not fixed. Prints each outcome, then what the driver and TensorRT counted when all is
// destroyed; exits with 1 when a result is wrong.
#include <dlfcn.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "custom_ops/runtime/loaded_engine.h"
#include "custom_ops/tensorrt/cuda_driver.h"

namespace tf_blade {
namespace {

constexpr size_t kAlignment = 256;
constexpr int kK = 5, kN = 3;

using Block = std::unique_ptr<void, decltype(&std::free)>;

Block Aligned(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, bytes + kAlignment) != 0) std::abort();
  return Block(memory, &std::free);
}

class CallHost : public Host {
 public:
  CallHost(const DeviceQueue* queue, const std::string& where) : queue_(queue), where_(where) {}

  int NumThreads() override { return 1; }
  const DeviceQueue* Device() override { return queue_; }
  bool InputOnMachine(int index) override {
    return queue_ == nullptr || (index == 0 && (where_ == "mixed" || where_ == "input"));
  }
  bool OutputOnMachine(int) override { return queue_ == nullptr || where_ == "mixed"; }
  void* Alloc(size_t bytes) override {
    blocks_.push_back(Aligned(bytes));
    ++allocations;
    return blocks_.back().get();
  }
  void Release(void*) override {}
  void* AllocPersistent(size_t) override { return nullptr; }
  void* AllocOutput(int, absl::Span<const int64_t> dims) override {
    output_dims.assign(dims.begin(), dims.end());
    size_t count = 1;
    for (const int64_t dim : dims) count *= static_cast<size_t>(dim);
    output_count = count;
    blocks_.push_back(Aligned(count * sizeof(float)));
    return output = static_cast<float*>(blocks_.back().get());
  }
  void ParallelFor(int64_t, int64_t, LoopBody, void*) override {}
  bool Cancelled() override { return false; }
  void SetError(const char* message) override { error = message; }

  int allocations = 0;
  std::vector<int64_t> output_dims;
  size_t output_count = 0;
  float* output = nullptr;
  std::string error;

 private:
  const DeviceQueue* const queue_;
  const std::string& where_;
  std::vector<Block> blocks_;
};

struct Tensor {
  std::vector<int64_t> dims;
  int32_t dtype;
  Block block{nullptr, &std::free};
  float* data = nullptr;

  Tensor(std::vector<int64_t> new_dims, int32_t new_dtype, size_t shift) : dims(std::move(new_dims)), dtype(new_dtype) {
    size_t count = 1;
    for (const int64_t dim : dims) count *= static_cast<size_t>(dim);
    block = Aligned(count * sizeof(float) + shift);
    data = reinterpret_cast<float*>(static_cast<char*>(block.get()) + shift);
    for (size_t i = 0; i < count; ++i) data[i] = static_cast<float>((i * 7 + count) % 11) - 5.0f;
  }
  TensorView view() { return {data, dims.data(), static_cast<int32_t>(dims.size()), dtype}; }
};

// What the models of fake_tensorrt.cc compute.
std::vector<float> Expected(std::vector<Tensor>& inputs) {
  std::vector<float> y;
  const int64_t n = inputs[0].dims[0];
  const float* const x = inputs[0].data;
  for (int64_t i = 0; inputs.size() == 1 && i < n; ++i) {
    if (x[i] > 0) y.push_back(x[i]);
  }
  if (inputs.size() == 2) y.assign(*reinterpret_cast<int32_t*>(inputs[1].data), x[0]);
  for (int64_t i = 0; inputs.size() == 3 && i < n * kN; ++i) {
    float sum = 0;
    for (int k = 0; k < kK; ++k) sum += x[i / kN * kK + k] * inputs[1].data[k * kN + i % kN];
    y.push_back(std::max(sum, 0.0f) + inputs[2].data[i % kN]);
  }
  return y;
}

std::vector<Tensor> MakeInputs(size_t number, int n, size_t shift) {
  std::vector<Tensor> inputs;
  if (number == 3) {
    inputs.emplace_back(std::vector<int64_t>{n, kK}, BLADE_F32, shift);
    inputs.emplace_back(std::vector<int64_t>{kK, kN}, BLADE_F32, 0);
    inputs.emplace_back(std::vector<int64_t>{kN}, BLADE_F32, 0);
  } else {
    inputs.emplace_back(std::vector<int64_t>{number == 2 ? 4 : n}, BLADE_F32, shift);
  }
  if (number == 2) {
    inputs.emplace_back(std::vector<int64_t>{1}, BLADE_I32, 0);
    std::memcpy(inputs[1].data, &n, sizeof(n));
  }
  return inputs;
}

bool CallOnce(const LoadedEngine& loaded, const EngineState* state, const DeviceQueue* queue, const std::string& where,
              int n) {
  std::vector<Tensor> inputs = MakeInputs(loaded.signature.inputs.size(), n, where == "unaligned" ? 4 : 0);
  std::vector<TensorView> views;
  for (Tensor& input : inputs) views.push_back(input.view());
  CallHost host(queue, where);
  const Outcome outcome = loaded.engine->Run(host, state, views);
  const std::vector<float> expected = Expected(inputs);
  bool right = outcome != Outcome::kOk || expected.size() == host.output_count;
  for (size_t i = 0; outcome == Outcome::kOk && right && i < expected.size(); ++i) {
    right = std::abs(expected[i] - host.output[i]) < 1e-5f;
  }
  std::printf("%d: outcome %d, %zu elements, %d allocations%s%s%s\n", n, static_cast<int>(outcome), host.output_count,
              host.allocations, right ? "" : ", WRONG", host.error.empty() ? "" : ": ", host.error.c_str());
  return right;
}

void PrintCounts() {
  const auto cuda =
      reinterpret_cast<int64_t (*)(const char*)>(dlsym(dlopen("libcuda.so.1", RTLD_NOW), "fake_cuda_count"));
  for (const char* what : {"streams", "graphs", "graph_launches", "blocks", "depth", "copies", "synchronizations"}) {
    std::printf("%s=%d\n", what, static_cast<int>(cuda(what)));
  }
}

int Main(int argc, char** argv) {
  std::ifstream file(argv[1], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  auto loaded = LoadEngine(bytes);
  if (!loaded.ok()) {
    std::printf("refused: %s: %s\n", std::string(ReasonName(ReasonOf(loaded.status()))).c_str(),
                std::string(loaded.status().message()).c_str());
    return 0;
  }
  const std::string where = argv[2];
  const CudaDevice& device = **CudaDevice::Open(0);
  DeviceQueue queue;
  {
    const CudaDevice::Use use(device);
    CudaStream stream = nullptr;
    device.cuda().stream_create(&stream, 1);
    queue.stream = stream;
  }
  const DeviceQueue* const given = where == "host" ? nullptr : &queue;
  bool right = true;
  {
    CallHost host(given, where);
    std::vector<Tensor> inputs = MakeInputs((*loaded)->signature.inputs.size(), 2, 0);
    std::vector<TensorView> views;
    for (Tensor& input : inputs) views.push_back(input.view());
    std::unique_ptr<EngineState> state;
    const Outcome outcome = (*loaded)->engine->Init(host, views, &state);
    if (outcome != Outcome::kOk) std::printf("init: outcome %d: %s\n", static_cast<int>(outcome), host.error.c_str());
    for (int i = 3; outcome == Outcome::kOk && i < argc; ++i) {
      right = CallOnce(**loaded, state.get(), given, where, std::atoi(argv[i])) && right;
    }
  }
  loaded = absl::UnknownError("gone");
  {
    const CudaDevice::Use use(device);
    const auto captures =
        reinterpret_cast<int64_t (*)(void*)>(dlsym(dlopen("libcuda.so.1", RTLD_NOW), "fake_cuda_captures"));
    std::printf("captures_of_the_hosts_stream=%d\n", static_cast<int>(captures(queue.stream)));
    device.cuda().stream_destroy(static_cast<CudaStream>(queue.stream));
  }
  PrintCounts();
  return right ? 0 : 1;
}

}  // namespace
}  // namespace tf_blade

int main(int argc, char** argv) { return tf_blade::Main(argc, argv); }
