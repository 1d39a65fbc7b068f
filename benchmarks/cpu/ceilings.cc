// Measures what this machine can do at most, and what fraction of it the kernel templates reach, in one interleaved
// run.
//
//   ceilings THREADS SECONDS [EXECUTABLE SHAPES]
//
// EXECUTABLE is a DISC executable with one output that moves its data inputs in and as many bytes out, SHAPES are those
// of its inputs, as in "256x128x1024,w1024" (w: a weight); its rate is called "executable" (GB/s).
// Prints one JSON object: FMA rate with one thread and with THREADS (GFLOP/s), copy rates of caches and memory (GB/s,
// bytes read plus bytes written), and GEMMs with packed right operands (GFLOP/s). Each figure is the median of rounds
// that take turns, so that a change of the clock or a noisy neighbour meets them all.
#include <dlfcn.h>
#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "custom_ops/disc/cpu/gemm.h"
#include "custom_ops/runtime/parallel.h"

namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Threads that wait by spinning while a measurement runs, so that a start costs less than a microsecond.
class Team {
 public:
  explicit Team(int threads) : threads_(threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { Work(i); });
  }
  ~Team() {
    stop_ = true;
    for (std::thread& worker : workers_) worker.join();
  }
  void Run(const std::function<void(int)>& body) {
    body_ = &body;
    done_ = 0;
    ++turn_;
    body(0);
    while (done_ < threads_ - 1) _mm_pause();
  }
  int threads() const { return threads_; }

 private:
  void Work(int index) {
    int seen = 0;
    while (!stop_) {
      if (turn_ == seen) {
        _mm_pause();
        continue;
      }
      seen = turn_;
      (*body_)(index);
      ++done_;
    }
  }

  const int threads_;
  std::vector<std::thread> workers_;
  const std::function<void(int)>* body_ = nullptr;
  std::atomic<int> turn_{0};
  std::atomic<int> done_{0};
  std::atomic<bool> stop_{false};
};

// The threads of a team as the pool of one loop: what is scheduled n-th runs in the n-th thread.
class Pool : public tf_blade::ThreadPool {
 public:
  explicit Pool(int threads) : tasks_(threads) {}
  int NumThreads() const override { return static_cast<int>(tasks_.size()); }
  void Schedule(std::function<void()> task) override {
    tasks_[scheduled_ + 1] = std::move(task);
    ++scheduled_;
  }
  void Close() { closed_ = true; }
  void Work(int thread) {
    while (scheduled_ < thread) {
      // In this order: nothing is scheduled after it is closed.
      if (closed_ && scheduled_ < thread) return;
      _mm_pause();
    }
    tasks_[thread]();
  }

 private:
  std::vector<std::function<void()>> tasks_;
  std::atomic<int> scheduled_{0};
  std::atomic<bool> closed_{false};
};

// The part of a host that the GEMM needs.
class Host {
 public:
  explicit Host(Team* team) : team_(team) {
    ral_.version = TF_BLADE_RAL_VERSION;
    ral_.num_threads = team->threads();
    ral_.context = this;
    ral_.alloc = [](void* self, size_t bytes) { return static_cast<Host*>(self)->Alloc(bytes); };
    ral_.alloc_persistent = [](void*, size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64 + 64); };
    ral_.alloc_output = &AllocOutput;
    ral_.cancelled = [](void*) { return 0; };
    ral_.set_error = [](void*, const char* message) { fprintf(stderr, "%s\n", message); };
    ral_.parallel_for = &ParallelFor;
    ral_.release = [](void*, void*) {};  // its memory stays warm until FreeAll
  }
  ~Host() {
    FreeAll();
    free(output_);
  }
  const BladeRal* ral() const { return &ral_; }
  void FreeAll() {
    for (void* p : memory_) free(p);
    memory_.clear();
  }

 private:
  void* Alloc(size_t bytes) {
    memory_.push_back(aligned_alloc(64, (bytes + 63) / 64 * 64 + 64));
    return memory_.back();
  }
  // The one output, in the same memory each time: the first touch of fresh pages is not what is measured.
  static void* AllocOutput(void* self, int32_t, int32_t rank, const int64_t* dims) {
    size_t bytes = sizeof(float);
    for (int32_t i = 0; i < rank; ++i) bytes *= static_cast<size_t>(dims[i]);
    void*& output = static_cast<Host*>(self)->output_;
    if (output == nullptr) output = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    return output;
  }
  // As the op library does it: each thread has a range of its own.
  static void ParallelFor(void* self, int64_t total, int64_t cost, void (*fn)(void*, int64_t, int64_t), void* arg) {
    Team* team = static_cast<Host*>(self)->team_;
    Pool pool(team->threads());
    team->Run([&](int thread) {
      if (thread > 0) return pool.Work(thread);
      tf_blade::ParallelFor(pool, total, cost, fn, arg);
      pool.Close();
    });
  }

  BladeRal ral_ = {};
  Team* team_;
  std::vector<void*> memory_;
  void* output_ = nullptr;
};

constexpr int kChains = 20;  // independent accumulators: more than latency times throughput of any core
constexpr int64_t kFmaRounds = 200000;
volatile float sink;

void FmaLoop() {
  blade::Vec sums[kChains];
  const blade::Vec x = blade::splat(1.0f - 1e-7f);
  const blade::Vec y = blade::splat(1e-7f);
#pragma GCC unroll 20
  for (int i = 0; i < kChains; ++i) sums[i] = blade::splat(static_cast<float>(i));
  for (int64_t round = 0; round < kFmaRounds; ++round) {
#pragma GCC unroll 20
    for (int i = 0; i < kChains; ++i) {
      sums[i] = blade::fma(sums[i], x, y);
      asm volatile("" : "+v"(sums[i]));
    }
  }
  blade::Vec total = sums[0];
#pragma GCC unroll 20
  for (int i = 1; i < kChains; ++i) total += sums[i];
  sink = total[0];
}

// Copies with stores that do not read the line first; for what does not fit a cache.
void StreamCopy(float* to, const float* from, int64_t count) {
  for (int64_t i = 0; i < count; i += 8) _mm256_stream_ps(to + i, _mm256_load_ps(from + i));
  _mm_sfence();
}

void CachedCopy(float* to, const float* from, int64_t count) {
  for (int64_t i = 0; i < count; i += blade::kLanes) blade::store(to + i, blade::load(from + i));
}

float* Buffer(int64_t count) {
  float* p = static_cast<float*>(aligned_alloc(64, static_cast<size_t>(count) * sizeof(float) + 64));
  for (int64_t i = 0; i < count; ++i) p[i] = static_cast<float>(i % 97) * 0.01f - 0.5f;
  return p;
}

struct Measurement {
  std::string name;
  double work;  // FLOPs or bytes of a call
  std::function<void()> call;
  std::vector<double> seconds;

  double Rate() {
    std::sort(seconds.begin(), seconds.end());
    return work / seconds[seconds.size() / 2] * 1e-9;
  }
};

void AddGemm(std::vector<Measurement>* all, Host* host, int64_t m, int64_t k, int64_t n, const char* name) {
  float* a = Buffer(m * k);
  float* b = Buffer(k * n);
  float* c = Buffer(m * n);
  float* packed = Buffer(blade::packed_b_bytes(k, n) / static_cast<int64_t>(sizeof(float)));
  blade::pack_b(host->ral(), b, n, false, k, n, packed);
  free(b);
  blade::GemmArgs args;
  args.m = m, args.n = n, args.k = k;
  args.a = a, args.lda = k, args.a_batch_stride = m * k;
  args.b_packed = packed;
  args.c = c, args.ldc = n, args.c_batch_stride = m * n;
  auto call = [host, args] {
    if (blade::gemm(host->ral(), args) != BLADE_OK) abort();
    host->FreeAll();
  };
  all->push_back({name, 2.0 * m * n * k, call, {}});
}

void AddCopy(std::vector<Measurement>* all, Team* team, int64_t bytes, bool stream, const std::string& name) {
  const int threads = team->threads();
  const int64_t each = bytes / static_cast<int64_t>(sizeof(float)) / threads / 64 * 64;
  std::vector<float*> from, to;
  for (int i = 0; i < threads; ++i) from.push_back(Buffer(each)), to.push_back(Buffer(each));
  const int64_t repeats = std::max<int64_t>(1, (int64_t{64} << 20) / bytes);
  auto call = [=] {
    team->Run([&](int thread) {
      for (int64_t i = 0; i < repeats; ++i) {
        (stream ? StreamCopy : CachedCopy)(to[thread], from[thread], each);
        asm volatile("" ::: "memory");
      }
    });
  };
  all->push_back({name, 2.0 * each * threads * static_cast<int64_t>(sizeof(float)) * repeats, call, {}});
}

// The inputs of an executable, of the shapes in a text.
struct Inputs {
  std::vector<std::vector<int64_t>> dims;
  std::vector<BladeTensor> all, weights;
  double data_bytes = 0;

  explicit Inputs(const std::string& shapes) {
    for (size_t begin = 0; begin < shapes.size();) {
      const size_t end = std::min(shapes.find(',', begin), shapes.size());
      Add(shapes.substr(begin, end - begin));
      begin = end + 1;
    }
    for (size_t i = 0; i < all.size(); ++i) all[i].dims = weights[i].dims = dims[i].data();
  }
  void Add(const std::string& shape) {
    const bool weight = shape[0] == 'w';
    dims.emplace_back();
    int64_t count = 1;
    for (const char* text = shape.c_str() + weight; *text != '\0'; text += *text == 'x') {
      char* end;
      dims.back().push_back(strtoll(text, &end, 10));
      count *= dims.back().back();
      text = end;
    }
    const BladeTensor tensor = {Buffer(count), nullptr, static_cast<int32_t>(dims.back().size()), BLADE_F32};
    all.push_back(tensor);
    weights.push_back(tensor);
    if (weight) return;
    weights.back().data = nullptr;
    data_bytes += static_cast<double>(count) * sizeof(float);
  }
};

bool AddExecutable(std::vector<Measurement>* all, Host* host, const char* path, const char* shapes) {
  void* library = dlopen(path, RTLD_NOW);
  if (library == nullptr) return fprintf(stderr, "%s\n", dlerror()), false;
  const auto entry = reinterpret_cast<BladeExecutableEntry>(dlsym(library, TF_BLADE_EXECUTABLE_SYMBOL));
  if (entry == nullptr || entry()->ral_version != TF_BLADE_RAL_VERSION) return false;
  const int32_t isa = blade::kLanes == 16 ? BLADE_ISA_X86_64_V4 : BLADE_ISA_X86_64_V3;
  const BladeVariant* variant = nullptr;
  for (int32_t i = 0; i < entry()->num_variants; ++i) {
    if (entry()->variants[i].isa <= isa) variant = &entry()->variants[i];
  }
  Inputs* inputs = new Inputs(shapes);
  void* state = nullptr;
  if (variant == nullptr || variant->init(host->ral(), inputs->weights.data(), &state) != BLADE_OK) return false;
  auto call = [=] {
    if (variant->run(host->ral(), state, inputs->all.data()) != BLADE_OK) abort();
    host->FreeAll();
  };
  all->push_back({"executable", 2 * inputs->data_bytes, call, {}});
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  const int threads = count > 1 ? atoi(arguments[1]) : 2;
  const double limit = count > 2 ? atof(arguments[2]) : 10.0;
  Team team(threads);
  Host host(&team);
  Team alone(1);
  std::vector<Measurement> all;
  const double flops = 2.0 * kChains * blade::kLanes * kFmaRounds;
  all.push_back({"fma_1", flops, [&] { alone.Run([](int) { FmaLoop(); }); }, {}});
  all.push_back({"fma", flops * threads, [&] { team.Run([](int) { FmaLoop(); }); }, {}});
  AddGemm(&all, &host, 1024, 1024, 1024, "gemm_1024x1024x1024");
  AddGemm(&all, &host, 128, 768, 3072, "gemm_128x768x3072");
  AddCopy(&all, &team, int64_t{256} << 20, true, "copy_memory");
  AddCopy(&all, &team, int64_t{256} << 20, false, "copy_memory_cached_stores");
  AddCopy(&all, &team, int64_t{256} << 10, false, "copy_L2");
  AddCopy(&all, &team, int64_t{16} << 10, false, "copy_L1");
  AddCopy(&all, &alone, int64_t{128} << 20, true, "copy_memory_1");
  if (count > 4 && !AddExecutable(&all, &host, arguments[3], arguments[4])) return 1;
  const Clock::time_point start = Clock::now();
  for (int round = 0; round < 3 || SecondsSince(start) < limit; ++round) {
    for (Measurement& item : all) {
      const Clock::time_point begin = Clock::now();
      item.call();
      if (round > 0) item.seconds.push_back(SecondsSince(begin));
    }
  }
  printf("{\"threads\": %d, \"lanes\": %d", threads, static_cast<int>(blade::kLanes));
  for (Measurement& item : all) printf(", \"%s\": %.2f", item.name.c_str(), item.Rate());
  printf("}\n");
  return 0;
}
