// C entry points to the kernel templates of generated executables, for kernels_test.py.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "custom_ops/disc/cpu/attention.h"
#include "custom_ops/disc/cpu/conv.h"
#include "custom_ops/disc/cpu/conv_transpose.h"
#include "custom_ops/disc/cpu/conv_winograd.h"
#include "custom_ops/disc/cpu/depthwise.h"
#include "custom_ops/disc/cpu/dot.h"
#include "custom_ops/disc/cpu/gemm.h"
#include "custom_ops/disc/cpu/pool.h"
#include "custom_ops/disc/cpu/small_products.h"

namespace {

// A host whose memory comes filled with NaNs and whose parallel loops hand out one unit at a time, last ones first.
class Host {
 public:
  explicit Host(int threads, bool out_of_memory = false) : out_of_memory_(out_of_memory) {
    ral_ = {};
    ral_.version = TF_BLADE_RAL_VERSION;
    ral_.num_threads = threads;
    ral_.context = this;
    ral_.alloc = [](void* self, size_t bytes) { return static_cast<Host*>(self)->Alloc(bytes); };
    ral_.release = [](void* self, void* memory) { static_cast<Host*>(self)->Release(memory); };
    ral_.parallel_for = &ParallelFor;
  }
  ~Host() {
    for (void* p : memory_) free(p);
  }
  const BladeRal* ral() const { return &ral_; }
  void* Alloc(size_t bytes) {
    if (out_of_memory_) return nullptr;
    void* p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    memset(p, 0xff, bytes);
    memory_.push_back(p);
    return p;
  }
  // Frees, so that a use afterwards shows.
  void Release(void* memory) {
    const auto first = std::find(memory_.begin(), memory_.end(), memory);
    if (first == memory_.end()) abort();
    for (auto p = first; p != memory_.end(); ++p) free(*p);
    memory_.erase(first, memory_.end());
  }

 private:
  static void ParallelFor(void* self, int64_t total, int64_t, void (*fn)(void*, int64_t, int64_t), void* arg) {
    const int threads = static_cast<Host*>(self)->ral_.num_threads;
    if (threads == 1) return fn(arg, 0, total);
    std::atomic<int64_t> left{total};
    auto work = [&] {
      for (int64_t i = --left; i >= 0; i = --left) fn(arg, i, i + 1);
    };
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work);
    work();
    for (std::thread& t : others) t.join();
  }

  BladeRal ral_;
  bool out_of_memory_;
  std::vector<void*> memory_;
};

// c = 2 * c + bias[n] + row[m]: wrong when a value is passed twice, never, or under another place.
struct TestEpilogue {
  const float* bias;
  const float* row;
  void operator()(int64_t m, int64_t n_begin, int64_t n_end, float* c) const {
    for (int64_t n = n_begin; n < n_end; ++n) c[n - n_begin] = 2.0f * c[n - n_begin] + bias[n] + row[m];
  }
};

// Splits columns into heads: C(m, n) of [m, heads * width] goes to [heads, m, width].
struct SplitHeads {
  float* c;
  int64_t m_count;
  int64_t width;
  float* operator()(int64_t batch, int64_t m, int64_t n) const {
    return c + ((batch * heads + n / width) * m_count + m) * width + n % width;
  }
  int64_t run() const { return width; }
  int64_t heads;
};

template <class T>
int32_t RunDot(int threads, const int64_t* s, const T* a, const T* b, T* c) {
  Host host(threads);
  blade::DotArgs<T> args;
  args.batch = s[0], args.m = s[1], args.n = s[2], args.k = s[3];
  args.a = a, args.lda = s[4], args.a_batch_stride = s[5], args.a_transposed = s[6] != 0;
  args.b = b, args.ldb = s[7], args.b_batch_stride = s[8], args.b_transposed = s[9] != 0;
  args.c = c, args.ldc = s[10], args.c_batch_stride = s[11];
  return blade::dot(host.ral(), args, [](int64_t, int64_t n_begin, int64_t n_end, T* row) {
    for (int64_t i = 0; i < n_end - n_begin; ++i) row[i] += 1;
  });
}

blade::ConvArgs MakeConv(const int64_t* s, const float* input, float* output) {
  blade::ConvArgs args;
  args.batch = s[0], args.in_h = s[1], args.in_w = s[2], args.in_c = s[3];
  args.out_h = s[4], args.out_w = s[5], args.out_c = s[6];
  args.kernel_h = s[7], args.kernel_w = s[8], args.stride_h = s[9], args.stride_w = s[10];
  args.dilation_h = s[11], args.dilation_w = s[12], args.pad_top = s[13], args.pad_left = s[14], args.groups = s[15];
  args.input = input;
  args.output = output;
  return args;
}

blade::PoolArgs MakePool(const int64_t* s, const float* input, float* output) {
  blade::PoolArgs args;
  args.batch = s[0], args.in_h = s[1], args.in_w = s[2], args.channels = s[3], args.out_h = s[4], args.out_w = s[5];
  args.window_h = s[7], args.window_w = s[8], args.stride_h = s[9], args.stride_w = s[10];
  args.pad_top = s[13], args.pad_left = s[14];
  args.input = input;
  args.output = output;
  return args;
}

}  // namespace

extern "C" {

// Memory that ends where an inaccessible page begins, so that a read beyond it is a crash. Never freed.
void* guarded_alloc(size_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t size = (bytes + page - 1) / page * page;
  char* p = static_cast<char*>(mmap(nullptr, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(p + size, page, PROT_NONE);
  return p + size - bytes;
}

int tile_rows() { return blade::kTileRows; }
int panel() { return blade::kPanel; }
int depth() { return blade::kDepth; }

// s: batch m n k lda a_batch a_transposed ldb b_batch b_transposed ldc c_batch packed head_width out_of_memory.
// A head_width of -1 stands for small_products.
int32_t run_gemm(int threads, const int64_t* s, const float* a, const float* b, const float* bias, const float* row,
                 float* c) {
  Host host(threads, s[14] != 0);
  blade::GemmArgs args;
  args.batch = s[0], args.m = s[1], args.n = s[2], args.k = s[3];
  args.a = a, args.lda = s[4], args.a_batch_stride = s[5], args.a_transposed = s[6] != 0;
  args.b = b, args.ldb = s[7], args.b_batch_stride = s[8], args.b_transposed = s[9] != 0;
  args.c = c, args.ldc = s[10], args.c_batch_stride = s[11];
  if (s[12] != 0) {
    float* packed = static_cast<float*>(host.Alloc(static_cast<size_t>(blade::packed_b_bytes(args.k, args.n))));
    blade::pack_b(host.ral(), b, args.ldb, args.b_transposed, args.k, args.n, packed);
    args.b_packed = packed;
    args.b = nullptr;
    args.b_batch_stride = 0;
  }
  const TestEpilogue epilogue = {bias, row};
  if (s[13] == -1) return blade::small_products(host.ral(), args, epilogue);
  if (s[13] == 0) return blade::gemm(host.ral(), args, epilogue);
  return blade::gemm(host.ral(), args, epilogue, SplitHeads{c, args.m, s[13], args.n / s[13]});
}

int32_t run_dot_f64(int threads, const int64_t* s, const double* a, const double* b, double* c) {
  return RunDot(threads, s, a, b, c);
}
int32_t run_dot_i32(int threads, const int64_t* s, const int32_t* a, const int32_t* b, int32_t* c) {
  return RunDot(threads, s, a, b, c);
}

int32_t run_conv(int threads, const int64_t* s, const float* input, const float* weights, const float* bias,
                 const float* row, float* output) {
  Host host(threads);
  blade::ConvArgs args = MakeConv(s, input, output);
  const int64_t group_in = args.in_c / args.groups;
  float* packed = static_cast<float*>(host.Alloc(
      static_cast<size_t>(blade::packed_conv_bytes(args.kernel_h, args.kernel_w, group_in, args.out_c, args.groups))));
  blade::pack_conv_weights(host.ral(), weights, args.kernel_h, args.kernel_w, group_in, args.out_c, args.groups,
                           packed);
  args.weights_packed = packed;
  const TestEpilogue epilogue = {bias, row};
  if (args.groups == 1 && args.dilation_w == 1) {
    if (args.stride_w * args.in_c == 3) return blade::conv2d_slim<3>(host.ral(), args, epilogue);
    if (args.stride_w * args.in_c == 6) return blade::conv2d_slim<6>(host.ral(), args, epilogue);
  }
  return blade::conv2d(host.ral(), args, epilogue);
}

int32_t run_conv_winograd(int threads, const int64_t* s, const float* input, const float* weights, const float* bias,
                          const float* row, float* output) {
  Host host(threads);
  blade::ConvArgs args = MakeConv(s, input, output);
  const int64_t bytes = blade::packed_winograd_bytes(args.in_c, args.out_c);
  float* packed = static_cast<float*>(host.Alloc(static_cast<size_t>(bytes)));
  blade::pack_winograd_weights(host.ral(), weights, args.in_c, args.out_c, packed);
  args.weights_packed = packed;
  return blade::conv2d_winograd(host.ral(), args, TestEpilogue{bias, row});
}

int32_t run_conv_transpose(int threads, const int64_t* s, const float* input, const float* weights, const float* bias,
                           const float* row, float* output) {
  Host host(threads);
  blade::ConvArgs args = MakeConv(s, input, output);
  float* packed = static_cast<float*>(host.Alloc(
      static_cast<size_t>(blade::packed_conv_transpose_bytes(args.kernel_h, args.kernel_w, args.in_c, args.out_c))));
  blade::pack_conv_transpose_weights(args, weights, packed);
  args.weights_packed = packed;
  return blade::conv2d_transpose(host.ral(), args, TestEpilogue{bias, row});
}

int32_t run_depthwise(int threads, const int64_t* s, const float* input, const float* weights, const float* bias,
                      const float* row, float* output) {
  Host host(threads);
  blade::ConvArgs args = MakeConv(s, input, output);
  args.weights_packed = weights;
  return blade::depthwise_conv2d(host.ral(), args, TestEpilogue{bias, row});
}

// s as for convolutions; is_max picks the kind.
int32_t run_pool(int threads, const int64_t* s, int is_max, const float* input, const float* bias, const float* row,
                 float* output) {
  Host host(threads);
  const blade::PoolArgs args = MakePool(s, input, output);
  const TestEpilogue epilogue = {bias, row};
  if (is_max != 0) return blade::pool2d<blade::MaxPool>(host.ral(), args, epilogue);
  return blade::pool2d<blade::AvgPool>(host.ral(), args, epilogue);
}

int32_t run_plain_max_pool(int threads, const int64_t* s, const float* input, float* output) {
  Host host(threads);
  return blade::pool2d<blade::MaxPool>(host.ral(), MakePool(s, input, output));
}

// s: batch heads q_len kv_len depth value_depth, batch/head/row strides of q, k, v, mask, out, mask column stride,
// out_of_memory. mask may be NULL.
int32_t run_attention(int threads, const int64_t* s, const float* scale, const float* q, const float* k, const float* v,
                      const float* mask, float* out) {
  Host host(threads, s[22] != 0);
  blade::AttentionArgs args;
  args.batch = s[0], args.heads = s[1], args.q_len = s[2], args.kv_len = s[3], args.depth = s[4];
  args.value_depth = s[5];
  args.scale = *scale;
  args.q = q, args.q_strides = {s[6], s[7], s[8]};
  args.k = k, args.k_strides = {s[9], s[10], s[11]};
  args.v = v, args.v_strides = {s[12], s[13], s[14]};
  args.mask = mask, args.mask_strides = {s[15], s[16], s[17]}, args.mask_column_stride = s[21], args.fill = s[23] != 0;
  args.out = out, args.out_strides = {s[18], s[19], s[20]};
  return blade::attention(host.ral(), args);
}

}  // extern "C"
