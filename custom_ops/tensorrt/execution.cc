#include "custom_ops/tensorrt/execution.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tf_blade {
namespace {

constexpr size_t kAlignment = 256;  // of what TensorRT reads and writes
constexpr int kCaptureModeThreadLocal = 1;

size_t RoundUp(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

CudaAddress AddressOf(const void* memory) { return reinterpret_cast<CudaAddress>(memory); }

size_t ElementsOf(const nvinfer1::Dims& dims) {
  size_t count = 1;
  for (int d = 0; d < dims.nbDims; ++d) count *= static_cast<size_t>(dims.d[d]);
  return count;
}

}  // namespace

size_t BytesOf(const TensorView& view) {
  size_t count = 1;
  for (int d = 0; d < view.rank; ++d) count *= static_cast<size_t>(view.dims[d]);
  return count * ElementBytes(view.dtype);
}

bool DeviceArena::Reserve(size_t bytes) {
  bytes = std::max(RoundUp(bytes), kAlignment);
  if (Fits(bytes)) return true;
  Free();
  CudaAddress address = 0;
  if (device_.cuda().mem_alloc(&address, bytes) != 0) return false;
  data_ = reinterpret_cast<char*>(address);
  bytes_ = bytes;
  return true;
}

void DeviceArena::Free() {
  if (data_ != nullptr) device_.cuda().mem_free(AddressOf(data_));
  data_ = nullptr;
  bytes_ = 0;
}

void* FoundOutput::reallocateOutputAsync(const char*, void*, uint64_t size, uint64_t, cudaStream_t) {
  try {
    if (host_ != nullptr) {
      data_ = host_->Alloc(std::max<size_t>(size, 1));
    } else {
      data_ = arena_.Reserve(size) ? arena_.data() : nullptr;
    }
  } catch (...) {
    data_ = nullptr;
  }
  failed_ = data_ == nullptr;
  return data_;
}

void FoundOutput::notifyShape(const char*, const nvinfer1::Dims& dims) noexcept { dims_ = dims; }

void* HostAllocator::allocateAsync(const uint64_t size, const uint64_t, const nvinfer1::AllocatorFlags,
                                   cudaStream_t) noexcept {
  try {
    return host_ == nullptr ? nullptr : host_->Alloc(size);
  } catch (...) {
    return nullptr;  // which tells TensorRT that there is no memory
  }
}

bool HostAllocator::deallocateAsync(void* const, cudaStream_t) noexcept { return true; }

struct Execution::Call {
  Host& host;
  absl::Span<const TensorView> inputs;  // of the signature
  const ShapeValues& shape_values;
  const bool on_device;  // whether inputs and outputs are, but for those that the host says
  const bool in_arena;   // whether the plan reads and writes the arena, not inputs and outputs
  const CudaStream stream;
  ShapeEntry* entry = nullptr;
  std::vector<const void*> addresses{};  // of the plan's inputs
  std::vector<void*> results{};          // of the plan's outputs, where the plan writes them
  bool touches_machine = false;          // whether a copy from or to the machine's memory is queued

  // Whether the plan writes an output where the host wants it.
  bool IsDirect(int output, bool found_in_run) const {
    return !found_in_run && !in_arena && !host.OutputOnMachine(output);
  }
};

Execution::Execution(const ReadyPlan& plan, int profile, ExecutionContextPtr context)
    : plan_(plan),
      data_(plan.data()),
      cuda_(plan.device().cuda()),
      context_(std::move(context)),
      workspace_bytes_(
          static_cast<size_t>(std::max<int64_t>(plan.engine->getDeviceMemorySizeForProfileV2(profile), 0))),
      arena_(plan.device()),
      shape_memory_(data_.inputs.size()) {
  for (size_t i = 0; i < data_.outputs.size(); ++i) found_.push_back(std::make_unique<FoundOutput>(plan.device()));
}

std::unique_ptr<Execution> Execution::Make(const ReadyPlan& plan, int profile) {
  ExecutionContextPtr context(
      plan.engine->createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED));
  if (context == nullptr) return nullptr;
  std::unique_ptr<Execution> made(new Execution(plan, profile, std::move(context)));
  constexpr unsigned kNonBlocking = 1;
  if (made->cuda_.stream_create(&made->own_stream_, kNonBlocking) != 0) return nullptr;
  if (!made->context_->setOptimizationProfileAsync(profile, made->own_stream_)) return nullptr;
  if (made->cuda_.stream_synchronize(made->own_stream_) != 0) return nullptr;
  return made;
}

Execution::~Execution() {
  const CudaDevice::Use use(plan_.device());
  if (last_stream_ != nullptr) cuda_.stream_synchronize(last_stream_);
  ForgetGraphs();
  context_.reset();
  found_.clear();
  arena_.Free();
  if (own_stream_ != nullptr) cuda_.stream_destroy(own_stream_);
}

Outcome Execution::Fail(Host& host, const std::string& what) {
  const std::string why = plan_.loaded->logger.Take();
  host.SetError(absl::StrCat(what, why.empty() ? "" : ": ", why).c_str());
  return Outcome::kInvalid;
}

Outcome Execution::FailOfCuda(Host& host, const std::string& what, int error) {
  return Fail(host, absl::StrCat(what, ": ", plan_.device().ErrorName(error)));
}

Execution::Key Execution::KeyOf(const Call& call) const {
  Key key;
  for (size_t i = 0; i < data_.inputs.size(); ++i) {
    const TensorView& view = call.inputs[data_.inputs[i].index];
    key.insert(key.end(), view.dims, view.dims + view.rank);
    key.insert(key.end(), call.shape_values[i].begin(), call.shape_values[i].end());
  }
  return key;
}

Execution::ShapeEntry* Execution::FindEntry(const Key& key) {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&key](const ShapeEntry& entry) { return entry.key == key; });
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return &entries_.front();
}

void Execution::ForgetGraph(ShapeEntry& entry) {
  if (entry.graph != nullptr) cuda_.graph_exec_destroy(entry.graph);
  entry.graph = nullptr;
}

void Execution::ForgetGraphs() {
  for (ShapeEntry& entry : entries_) ForgetGraph(entry);
}

// Tells TensorRT the shapes of the inputs.
Outcome Execution::SetShapes(Call& call) {
  current_ = nullptr;
  for (size_t i = 0; i < data_.inputs.size(); ++i) {
    const PlanTensor& input = data_.inputs[i];
    const TensorView& view = call.inputs[input.index];
    nvinfer1::Dims dims{};
    dims.nbDims = view.rank;
    std::copy(view.dims, view.dims + view.rank, dims.d);
    if (!context_->setInputShape(input.name.c_str(), dims)) return Fail(call.host, "a shape of the inputs is refused");
    if (!input.is_shape_tensor) continue;
    const std::vector<int64_t>& values = call.shape_values[i];
    std::vector<int64_t>& memory = shape_memory_[i];
    memory.assign(std::max<size_t>(values.size(), 1), 0);
    auto* const narrow = reinterpret_cast<char*>(memory.data());
    for (size_t j = 0; j < values.size(); ++j) {
      const auto value = static_cast<int32_t>(values[j]);
      if (input.dtype == BLADE_I64) memory[j] = values[j];
      if (input.dtype == BLADE_I32) std::memcpy(narrow + j * sizeof(value), &value, sizeof(value));
    }
    if (!context_->setTensorAddress(input.name.c_str(), memory.data())) {
      return Fail(call.host, "the values of a shape tensor are refused");
    }
  }
  const int missing = context_->inferShapes(0, nullptr);
  return missing == 0 ? Outcome::kOk : Fail(call.host, "the shapes of the outputs do not follow");
}

Outcome Execution::CollectOutputs(Call& call, ShapeEntry* entry) {
  for (const PlanTensor& tensor : data_.outputs) {
    Output output;
    output.dims = context_->getTensorShape(tensor.name.c_str());
    if (output.dims.nbDims != tensor.rank) return Fail(call.host, "an output has another rank than the plan says");
    for (int d = 0; d < output.dims.nbDims; ++d) output.found_in_run = output.found_in_run || output.dims.d[d] < 0;
    entry->has_found_outputs = entry->has_found_outputs || output.found_in_run;
    if (!output.found_in_run) output.bytes = ElementsOf(output.dims) * ElementBytes(tensor.dtype);
    entry->outputs.push_back(output);
  }
  return Outcome::kOk;
}

// Places in the arena: inputs, outputs, workspace.
void Execution::LayOut(ShapeEntry* entry, absl::Span<const TensorView> inputs) const {
  size_t end = 0;
  for (size_t i = 0; i < data_.inputs.size(); ++i) {
    const PlanTensor& tensor = data_.inputs[i];
    entry->input_offsets.push_back(end);
    if (!tensor.is_shape_tensor && plan_.weights[i] == nullptr)
      end += RoundUp(std::max<size_t>(BytesOf(inputs[tensor.index]), 1));
  }
  for (Output& output : entry->outputs) {
    output.offset = end;
    end += RoundUp(std::max<size_t>(output.bytes, 1));
  }
  entry->workspace_offset = end;
  entry->arena_bytes = end + workspace_bytes_;
}

Outcome Execution::MakeEntry(Call& call, Key key, ShapeEntry** entry) {
  const Outcome shapes = SetShapes(call);
  if (shapes != Outcome::kOk) return shapes;
  ShapeEntry made;
  made.key = std::move(key);
  const Outcome outputs = CollectOutputs(call, &made);
  if (outputs != Outcome::kOk) return outputs;
  LayOut(&made, call.inputs);
  entries_.push_front(std::move(made));
  if (entries_.size() > kShapes) {
    ForgetGraph(entries_.back());
    entries_.pop_back();
  }
  *entry = &entries_.front();
  current_ = *entry;
  return Outcome::kOk;
}

// Brings the inputs to where the plan reads them.
Outcome Execution::PlaceInputs(Call& call) {
  for (size_t i = 0; i < data_.inputs.size(); ++i) {
    const PlanTensor& input = data_.inputs[i];
    if (input.is_shape_tensor) {
      call.addresses.push_back(shape_memory_[i].data());
      continue;
    }
    if (plan_.weights[i] != nullptr) {
      call.addresses.push_back(plan_.weights[i]);
      continue;
    }
    const TensorView& view = call.inputs[input.index];
    const size_t bytes = BytesOf(view);
    const bool aligned = AddressOf(view.data) % kAlignment == 0 && view.data != nullptr;
    const bool on_machine = call.host.InputOnMachine(input.index);
    if (!on_machine && !call.in_arena && aligned) {
      call.addresses.push_back(view.data);
      continue;
    }
    char* const place = call.in_arena ? arena_.data() + call.entry->input_offsets[i]
                                      : static_cast<char*>(call.host.Alloc(RoundUp(std::max<size_t>(bytes, 1))));
    if (place == nullptr) return Outcome::kNoMemory;
    call.addresses.push_back(place);
    if (bytes == 0) continue;
    call.touches_machine = call.touches_machine || on_machine;
    const int error = on_machine ? cuda_.memcpy_htod_async(AddressOf(place), view.data, bytes, call.stream)
                                 : cuda_.memcpy_dtod_async(AddressOf(place), AddressOf(view.data), bytes, call.stream);
    if (error != 0) return FailOfCuda(call.host, "inputs cannot be copied", error);
  }
  return Outcome::kOk;
}

// Says where the plan writes its outputs, as far as their sizes are known.
Outcome Execution::PlaceOutputs(Call& call) {
  for (size_t i = 0; i < data_.outputs.size(); ++i) {
    const PlanTensor& tensor = data_.outputs[i];
    const Output& output = call.entry->outputs[i];
    if (output.found_in_run) {
      found_[i]->Begin(call.on_device ? &call.host : nullptr);
      call.results.push_back(nullptr);
    } else if (call.in_arena) {
      call.results.push_back(arena_.data() + output.offset);
    } else {
      call.results.push_back(
          call.IsDirect(tensor.index, false)
              ? call.host.AllocOutput(tensor.index, absl::MakeConstSpan(output.dims.d, output.dims.nbDims))
              : call.host.Alloc(RoundUp(std::max<size_t>(output.bytes, 1))));
      if (call.results.back() == nullptr) return Outcome::kNoMemory;
    }
  }
  return Outcome::kOk;
}

// Hands addresses to TensorRT and queues the plan's work. What works in the arena works in it alone, so that a graph of
// that work has no address that is good for one call only.
Outcome Execution::Launch(Call& call, CudaStream stream) {
  const bool takes_from_host = call.on_device && !call.in_arena;
  for (size_t i = 0; i < data_.inputs.size(); ++i) {
    const std::string& name = data_.inputs[i].name;
    if (!context_->setInputTensorAddress(name.c_str(), call.addresses[i])) {
      return Fail(call.host, "the address of an input is refused");
    }
  }
  for (size_t i = 0; i < data_.outputs.size(); ++i) {
    const char* const name = data_.outputs[i].name.c_str();
    const bool is_found = call.entry->outputs[i].found_in_run;
    const bool set = context_->setOutputAllocator(name, is_found ? found_[i].get() : nullptr) &&
                     (is_found || context_->setTensorAddress(name, call.results[i]));
    if (!set) return Fail(call.host, "the address of an output is refused");
  }
  void* const workspace = call.in_arena ? arena_.data() + call.entry->workspace_offset
                                        : call.host.Alloc(std::max(workspace_bytes_, kAlignment));
  if (workspace == nullptr) return Outcome::kNoMemory;
  context_->setDeviceMemoryV2(workspace, static_cast<int64_t>(workspace_bytes_));
  temporary_.Begin(takes_from_host ? &call.host : nullptr);
  context_->setTemporaryStorageAllocator(takes_from_host ? &temporary_ : nullptr);
  if (context_->enqueueV3(stream)) return Outcome::kOk;
  for (const auto& found : found_) {
    if (found->failed()) return Outcome::kNoMemory;
  }
  return Fail(call.host, "the plan does not run");
}

// Makes a graph of the work that was just queued, to be launched instead from the next call on. Where TensorRT's work
// cannot be captured nothing is lost but that. The stream is the context's own: other threads queue work on
// TensorFlow's meanwhile, which would get into the graph instead of being done.
void Execution::Capture(Call& call) {
  call.entry->cannot_capture = true;
  // A context works on one stream at a time.
  if (call.stream != own_stream_ && cuda_.stream_synchronize(call.stream) != 0) return;
  if (cuda_.stream_begin_capture(own_stream_, kCaptureModeThreadLocal) != 0) return;
  const Outcome queued = Launch(call, own_stream_);
  CUgraph_st* graph = nullptr;
  const int error = cuda_.stream_end_capture(own_stream_, &graph);
  if (queued == Outcome::kOk && error == 0 && graph != nullptr) {
    call.entry->cannot_capture = cuda_.graph_instantiate(&call.entry->graph, graph, 0) != 0;
  }
  if (graph != nullptr) cuda_.graph_destroy(graph);
  if (!call.entry->cannot_capture) return;
  call.entry->graph = nullptr;
  plan_.loaded->logger.Take();
}

// Brings the outputs to where the host wants them.
Outcome Execution::TakeOutputs(Call& call) {
  // Dimensions that TensorRT found are known when its work is done.
  if (call.entry->has_found_outputs) {
    const int error = cuda_.stream_synchronize(call.stream);
    if (error != 0) return FailOfCuda(call.host, "the plan fails", error);
  }
  for (size_t i = 0; i < data_.outputs.size(); ++i) {
    const PlanTensor& tensor = data_.outputs[i];
    const Output& output = call.entry->outputs[i];
    if (call.IsDirect(tensor.index, output.found_in_run)) continue;
    const nvinfer1::Dims& dims = output.found_in_run ? found_[i]->dims() : output.dims;
    if (dims.nbDims != tensor.rank) return Fail(call.host, "an output's dimensions were not found");
    void* const to = call.host.AllocOutput(tensor.index, absl::MakeConstSpan(dims.d, dims.nbDims));
    if (to == nullptr) return Outcome::kNoMemory;
    const void* const from = output.found_in_run ? found_[i]->data() : call.results[i];
    const size_t bytes = ElementsOf(dims) * ElementBytes(tensor.dtype);
    if (bytes == 0) continue;
    const bool to_machine = call.host.OutputOnMachine(tensor.index);
    call.touches_machine = call.touches_machine || to_machine;
    const int error = to_machine ? cuda_.memcpy_dtoh_async(to, AddressOf(from), bytes, call.stream)
                                 : cuda_.memcpy_dtod_async(AddressOf(to), AddressOf(from), bytes, call.stream);
    if (error != 0) return FailOfCuda(call.host, "outputs cannot be copied", error);
  }
  return Outcome::kOk;
}

// Makes the arena large enough for the call.
bool Execution::MakeRoom(Call& call) {
  if (!call.in_arena || arena_.Fits(call.entry->arena_bytes)) return true;
  // Graphs hold addresses in the arena, and what is queued works in it.
  cuda_.stream_synchronize(call.stream);
  ForgetGraphs();
  return arena_.Reserve(call.entry->arena_bytes);
}

// Queues the work: by the shape's graph, if there is one, which is made when the shape comes for the second time.
Outcome Execution::Start(Call& call) {
  ShapeEntry& entry = *call.entry;
  if (entry.graph != nullptr) {
    const int error = cuda_.graph_launch(entry.graph, call.stream);
    return error == 0 ? Outcome::kOk : FailOfCuda(call.host, "its graph cannot be launched", error);
  }
  const Outcome launched = Launch(call, call.stream);
  if (launched != Outcome::kOk) return launched;
  const bool capture = data_.cuda_graphs && !entry.has_found_outputs && !entry.cannot_capture && entry.runs > 0;
  if (capture) Capture(call);
  ++entry.runs;
  return Outcome::kOk;
}

Outcome Execution::Steps(Call& call) {
  Key key = KeyOf(call);
  call.entry = FindEntry(key);
  Outcome outcome = Outcome::kOk;
  if (call.entry == nullptr) {
    outcome = MakeEntry(call, std::move(key), &call.entry);
  } else if (call.entry->graph == nullptr && current_ != call.entry) {
    outcome = SetShapes(call);
    if (outcome == Outcome::kOk) current_ = call.entry;
  }
  if (outcome != Outcome::kOk) return outcome;
  if (!MakeRoom(call)) return Outcome::kNoMemory;
  for (const auto step : {&Execution::PlaceInputs, &Execution::PlaceOutputs, &Execution::Start}) {
    outcome = (this->*step)(call);
    if (outcome != Outcome::kOk) return outcome;
  }
  return call.host.Cancelled() ? Outcome::kCancelled : TakeOutputs(call);
}

Outcome Execution::Run(Host& host, absl::Span<const TensorView> inputs, const ShapeValues& shape_values) {
  const DeviceQueue* const device = host.Device();
  const bool on_device = device != nullptr;
  const CudaStream stream = on_device ? static_cast<CudaStream>(device->stream) : own_stream_;
  Call call{host, inputs, shape_values, on_device, !on_device || data_.cuda_graphs, stream};
  if (host.Cancelled()) return Outcome::kCancelled;
  // What was queued elsewhere may still use the context and the arena.
  if (last_stream_ != nullptr && last_stream_ != stream) cuda_.stream_synchronize(last_stream_);
  last_stream_ = stream;
  const Outcome outcome = Steps(call);
  if (on_device && outcome == Outcome::kOk && !call.touches_machine) return outcome;
  // Before inputs and outputs go, or are read or written elsewhere.
  const int error = cuda_.stream_synchronize(stream);
  return error == 0 || outcome != Outcome::kOk ? outcome : FailOfCuda(host, "the plan fails", error);
}

}  // namespace tf_blade
