// Runs a graph in a session whose threads are chosen, and tells on which threads the engine in it worked.
//
// usage: session_threads OP_LIBRARY GRAPH ELEMENTS WAY
// GRAPH is a serialized GraphDef with a vector "x" and a vector "y" of thread numbers. Prints five numbers: the
// different threads in y; how many of them are of the intra-op pool that was handed in; of the inter-op pool that was;
// whether the thread that called the session is one; and the tasks that the intra-op pool was given.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tensorflow/c/c_api.h"
#include "tensorflow/core/framework/graph.pb.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/platform/threadpool.h"
#include "tensorflow/core/platform/threadpool_options.h"
#include "tensorflow/core/public/session.h"

namespace {

using tensorflow::RunOptions;
using tensorflow::SessionOptions;

long ThreadNumber() { return syscall(SYS_gettid); }

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  std::exit(1);
}

// A pool as a server hands it to each run; it knows its threads and counts its tasks.
class KnownPool : public tensorflow::thread::ThreadPoolInterface {
 public:
  KnownPool(const char* name, int threads) : pool_(tensorflow::Env::Default(), name, threads) {}

  void Schedule(std::function<void()> task) override {
    ++tasks_;
    pool_.Schedule([this, task = std::move(task)] {
      {
        tensorflow::mutex_lock lock(mutex_);
        threads_.insert(ThreadNumber());
      }
      task();
    });
  }
  int NumThreads() const override { return pool_.NumThreads(); }
  int CurrentThreadId() const override { return pool_.CurrentThreadId(); }

  int tasks() const { return tasks_; }
  int CountOf(const std::set<long>& threads) {
    tensorflow::mutex_lock lock(mutex_);
    int count = 0;
    for (const long thread : threads) count += static_cast<int>(threads_.count(thread));
    return count;
  }

 private:
  tensorflow::mutex mutex_;
  std::set<long> threads_;
  std::atomic<int> tasks_{0};
  tensorflow::thread::ThreadPool pool_;
};

struct Pools {
  std::unique_ptr<KnownPool> intra, inter;
};

// What is chosen; false for a way that is not known.
bool Choose(const std::string& way, SessionOptions* session, RunOptions* run, Pools* pools) {
  auto& config = session->config;
  config.set_intra_op_parallelism_threads(3);
  if (way == "own") return true;
  if (way == "single") {
    config.set_intra_op_parallelism_threads(1);
  } else if (way == "per_session") {
    config.set_use_per_session_threads(true);
  } else if (way == "session_pools") {
    config.add_session_inter_op_thread_pool()->set_num_threads(1);
    config.add_session_inter_op_thread_pool()->set_num_threads(2);
    run->set_inter_op_thread_pool(1);
  } else if (way == "in_caller") {
    run->set_inter_op_thread_pool(-1);
  } else if (way == "run_handler") {
    run->mutable_experimental()->set_use_run_handler_pool(true);
  } else if (way == "handed_intra") {
    pools->intra = std::make_unique<KnownPool>("handed_intra", 4);
  } else if (way == "handed_both") {
    pools->intra = std::make_unique<KnownPool>("handed_intra", 4);
    pools->inter = std::make_unique<KnownPool>("handed_inter", 2);
  } else {
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  TF_Status* status = TF_NewStatus();
  TF_LoadLibrary(argv[1], status);
  if (TF_GetCode(status) != TF_OK) {
    std::fprintf(stderr, "%s\n", TF_Message(status));
    return 1;
  }
  std::ifstream file(argv[2], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  tensorflow::GraphDef graph;
  if (!graph.ParseFromString(bytes)) return 2;

  SessionOptions options;
  RunOptions run_options;
  Pools pools;
  if (!Choose(argv[4], &options, &run_options, &pools)) return 2;
  std::unique_ptr<tensorflow::Session> session(tensorflow::NewSession(options));
  Check(session->Create(graph));
  tensorflow::Tensor x(tensorflow::DT_FLOAT, tensorflow::TensorShape({std::atoll(argv[3])}));
  std::memset(x.data(), 0, x.TotalBytes());
  tensorflow::thread::ThreadPoolOptions handed;
  handed.intra_op_threadpool = pools.intra.get();
  handed.inter_op_threadpool = pools.inter.get();
  std::set<long> threads;
  // Not the first run alone: what a run makes must not outlive the pools that it was handed.
  for (int i = 0; i < 3; ++i) {
    std::vector<tensorflow::Tensor> outputs;
    tensorflow::RunMetadata metadata;
    Check(session->Run(run_options, {{"x:0", x}}, {"y:0"}, {}, &outputs, &metadata, handed));
    threads.clear();
    const float* const y = static_cast<const float*>(outputs[0].data());
    for (int64_t j = 0; j < outputs[0].NumElements(); ++j) threads.insert(static_cast<long>(y[j]));
  }
  std::printf("%zu %d %d %d %d\n", threads.size(), pools.intra ? pools.intra->CountOf(threads) : 0,
              pools.inter ? pools.inter->CountOf(threads) : 0, static_cast<int>(threads.count(ThreadNumber())),
              pools.intra ? pools.intra->tasks() : 0);
  return 0;
}
