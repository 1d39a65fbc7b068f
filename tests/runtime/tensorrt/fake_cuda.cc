// A driver of CUDA on the machine's memory: enough to run plans of the TensorRT beside it. Work is done when it is
// queued, or recorded while its stream is captured.
//
// FAKE_CUDA_CAPABILITY is the compute capability (89), FAKE_CUDA_MEMORY the bytes that there are, FAKE_CUDA_INIT an
// error of cuInit, FAKE_CUDA_COUNT the number of GPUs.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

using Work = std::vector<std::function<void()>>;

struct CUstream_st {
  bool capturing = false;
  int64_t captures = 0;
  Work recorded;
};
struct CUgraph_st {
  Work work;
};
struct CUgraphExec_st {
  Work work;
};
struct CUctx_st {};

namespace {

constexpr int kOutOfMemory = 2, kNoContext = 201, kInvalid = 1;
constexpr size_t kAlignment = 256;

CUctx_st the_context;
thread_local int depth = 0;  // of current contexts
std::mutex mutex;
std::map<unsigned long long, size_t> blocks;
size_t used = 0;
std::atomic<int64_t> live_streams{0}, live_graphs{0}, graph_launches{0}, allocations{0}, synchronizations{0}, copies{0};

long Setting(const char* name, long otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::atol(value);
}

int Queue(CUstream_st* stream, std::function<void()> work) {
  if (depth == 0) return kNoContext;
  if (stream != nullptr && stream->capturing) {
    stream->recorded.push_back(std::move(work));
  } else {
    work();
  }
  return 0;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API int cuInit(unsigned) { return static_cast<int>(Setting("FAKE_CUDA_INIT", 0)); }
API int cuDeviceGetCount(int* count) { return *count = static_cast<int>(Setting("FAKE_CUDA_COUNT", 1)), 0; }
API int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
API int cuDeviceGetAttribute(int* value, int attribute, int) {
  const long capability = Setting("FAKE_CUDA_CAPABILITY", 89);
  *value = static_cast<int>(attribute == 75 ? capability / 10 : capability % 10);
  return 0;
}
API int cuDevicePrimaryCtxRetain(CUctx_st** context, int) { return *context = &the_context, 0; }
API int cuCtxPushCurrent_v2(CUctx_st*) { return ++depth, 0; }
API int cuCtxPopCurrent_v2(CUctx_st** context) { return --depth, *context = &the_context, 0; }
API int cuStreamCreate(CUstream_st** stream, unsigned) {
  if (depth == 0) return kNoContext;
  ++live_streams;
  return *stream = new CUstream_st, 0;
}
API int cuStreamDestroy_v2(CUstream_st* stream) {
  if (depth == 0) return kNoContext;
  --live_streams;
  delete stream;
  return 0;
}
API int cuStreamSynchronize(CUstream_st* stream) {
  ++synchronizations;
  return stream != nullptr && stream->capturing ? kInvalid : 0;
}
API int cuStreamBeginCapture_v2(CUstream_st* stream, int) {
  if (stream == nullptr || stream->capturing) return kInvalid;
  stream->capturing = true;
  ++stream->captures;
  return 0;
}
API int cuStreamEndCapture(CUstream_st* stream, CUgraph_st** graph) {
  stream->capturing = false;
  *graph = new CUgraph_st{std::move(stream->recorded)};
  stream->recorded.clear();
  return 0;
}
API int cuGraphInstantiateWithFlags(CUgraphExec_st** executable, CUgraph_st* graph, unsigned long long) {
  ++live_graphs;
  return *executable = new CUgraphExec_st{graph->work}, 0;
}
API int cuGraphLaunch(CUgraphExec_st* executable, CUstream_st*) {
  if (depth == 0) return kNoContext;
  ++graph_launches;
  for (const auto& work : executable->work) work();
  return 0;
}
API int cuGraphDestroy(CUgraph_st* graph) { return delete graph, 0; }
API int cuGraphExecDestroy(CUgraphExec_st* executable) {
  --live_graphs;
  return delete executable, 0;
}
API int cuMemAlloc_v2(unsigned long long* address, size_t bytes) {
  if (depth == 0) return kNoContext;
  std::lock_guard<std::mutex> lock(mutex);
  ++allocations;
  if (used + bytes > static_cast<size_t>(Setting("FAKE_CUDA_MEMORY", 1 << 30))) return kOutOfMemory;
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, bytes) != 0) return kOutOfMemory;
  std::memset(memory, 0xcd, bytes);
  blocks[*address = reinterpret_cast<unsigned long long>(memory)] = bytes;
  used += bytes;
  return 0;
}
API int cuMemFree_v2(unsigned long long address) {
  if (depth == 0) return kNoContext;
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = blocks.find(address);
  if (found == blocks.end()) return kInvalid;
  used -= found->second;
  blocks.erase(found);
  std::free(reinterpret_cast<void*>(address));
  return 0;
}
API int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t bytes, CUstream_st* stream) {
  ++copies;
  return Queue(stream, [=] { std::memcpy(reinterpret_cast<void*>(to), from, bytes); });
}
API int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t bytes, CUstream_st* stream) {
  ++copies;
  return Queue(stream, [=] { std::memcpy(to, reinterpret_cast<void*>(from), bytes); });
}
API int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t bytes, CUstream_st* stream) {
  ++copies;
  return Queue(stream, [=] { std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes); });
}
API int cuGetErrorName(int error, const char** name) {
  *name = error == kOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY"
          : error == kNoContext ? "CUDA_ERROR_INVALID_CONTEXT"
                                : "CUDA_ERROR";
  return 0;
}

// For the TensorRT beside it, and for tests.
API int fake_cuda_queue(CUstream_st* stream, const std::function<void()>* work) { return Queue(stream, *work); }
API int64_t fake_cuda_captures(CUstream_st* stream) { return stream->captures; }
API int64_t fake_cuda_count(const char* what) {
  const std::map<std::string, int64_t> counts = {
      {"streams", live_streams},
      {"graphs", live_graphs},
      {"graph_launches", graph_launches},
      {"allocations", allocations},
      {"blocks", blocks.size()},
      {"depth", depth},
      {"synchronizations", synchronizations},
      {"copies", copies},
  };
  return counts.at(what);
}
