// Measures what this machine can do at most, and what fraction of it the kernel templates reach, in one interleaved
// run.
//
//   ceilings THREADS SECONDS
//
// Prints one JSON object: FMA rate with one thread and with THREADS (GFLOP/s), copy rates of caches and memory (GB/s,
// bytes read plus bytes written), and GEMMs with packed right operands (GFLOP/s). Each figure is the median of rounds
// that take turns, so that a change of the clock or a noisy neighbour meets them all.
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

// The part of a host that the GEMM needs.
class Host {
 public:
  explicit Host(Team* team) : team_(team) {
    ral_.version = TF_BLADE_RAL_VERSION;
    ral_.num_threads = team->threads();
    ral_.context = this;
    ral_.alloc = [](void* self, size_t bytes) { return static_cast<Host*>(self)->Alloc(bytes); };
    ral_.parallel_for = &ParallelFor;
  }
  ~Host() { FreeAll(); }
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
  static void ParallelFor(void* self, int64_t total, int64_t, void (*fn)(void*, int64_t, int64_t), void* arg) {
    std::atomic<int64_t> next{0};
    static_cast<Host*>(self)->team_->Run([&](int) {
      for (int64_t i = next++; i < total; i = next++) fn(arg, i, i + 1);
    });
  }

  BladeRal ral_ = {};
  Team* team_;
  std::vector<void*> memory_;
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
