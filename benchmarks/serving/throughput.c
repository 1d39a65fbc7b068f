/* Requests a second that a SavedModel serves to several threads, without Python.

   usage: throughput OP_LIBRARY MODEL CONFIG SECONDS THREADS OUTPUT (INPUT DTYPE ROWS COLUMNS FILE)...
   Names are tensors, "operation:index"; a file holds an input's elements. Prints the requests a second. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/native/capi.h"

enum { kMaxInputs = 16, kMaxThreads = 64 };

static TF_Session* session;
static TF_Output output;
static TF_Output inputs[kMaxInputs];
static TF_Tensor* values[kMaxInputs];
static int num_inputs;
static double begin_s, end_s;

static double now_s(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Counts the calls that begin and end in time. */
static void* work(void* argument) {
  long* const calls = argument;
  TF_Status* status = TF_NewStatus();
  for (;;) {
    TF_Tensor* y = NULL;
    const double started = now_s();
    TF_SessionRun(session, NULL, inputs, values, num_inputs, &output, &y, 1, NULL, 0, NULL, status);
    check(status, "run");
    TF_DeleteTensor(y);
    if (now_s() > end_s) break;
    if (started >= begin_s) ++*calls;
  }
  TF_DeleteStatus(status);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc < 12 || (argc - 7) % 5 != 0) return 2;
  TF_Status* status = TF_NewStatus();
  TF_LoadLibrary(argv[1], status);
  check(status, "library");
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Buffer* config = read_file(argv[3]);
  TF_SetConfig(options, config->data, config->length, status);
  check(status, "config");
  const char* tags[] = {"serve"};
  TF_Graph* graph = TF_NewGraph();
  session = TF_LoadSessionFromSavedModel(options, NULL, argv[2], tags, 1, graph, NULL, status);
  check(status, "model");
  output = operation(graph, argv[6]);
  for (int i = 7; i < argc; i += 5, ++num_inputs) {
    const int64_t dims[2] = {atoll(argv[i + 2]), atoll(argv[i + 3])};
    TF_Buffer* data = read_file(argv[i + 4]);
    inputs[num_inputs] = operation(graph, argv[i]);
    values[num_inputs] = TF_AllocateTensor((TF_DataType)atoi(argv[i + 1]), dims, 2, data->length);
    memcpy(TF_TensorData(values[num_inputs]), data->data, data->length);
  }
  const int threads = atoi(argv[5]);
  pthread_t workers[kMaxThreads];
  long calls[kMaxThreads][16] = {{0}};
  begin_s = now_s() + 0.5; /* the first calls make engines ready */
  end_s = begin_s + atof(argv[4]);
  for (int i = 0; i < threads && i < kMaxThreads; ++i) pthread_create(&workers[i], NULL, work, calls[i]);
  long total = 0;
  for (int i = 0; i < threads && i < kMaxThreads; ++i) {
    pthread_join(workers[i], NULL);
    total += calls[i][0];
  }
  printf("%.1f\n", (double)total / atof(argv[4]));
  return 0;
}
