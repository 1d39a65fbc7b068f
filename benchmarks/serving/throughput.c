/* Requests a second that a SavedModel serves to several threads, without Python.

   usage: throughput OP_LIBRARY MODEL CONFIG SECONDS THREADS OUTPUT (INPUT DTYPE ROWS COLUMNS FILE)...
   Names are tensors, "operation:index"; a file holds an input's elements. THREADS is a list such as "1,2,8": prints the
   requests a second of each and the processors' microseconds that a request took, one line each, measured for SECONDS.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

/* Of all threads of the process. */
static double processors_s(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void sleep_until(double time_s) {
  const double left = time_s - now_s();
  if (left <= 0) return;
  struct timespec time = {(time_t)left, (long)(1e9 * (left - (double)(time_t)left))};
  nanosleep(&time, NULL);
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

static void measure(int threads, double settle_s, double seconds) {
  pthread_t workers[kMaxThreads];
  long calls[kMaxThreads][16] = {{0}};
  if (threads < 1 || threads > kMaxThreads) exit(2);
  begin_s = now_s() + settle_s;
  end_s = begin_s + seconds;
  for (int i = 0; i < threads; ++i) pthread_create(&workers[i], NULL, work, calls[i]);
  sleep_until(begin_s);
  const double before_s = processors_s();
  sleep_until(end_s);
  const double used_s = processors_s() - before_s;
  long total = 0;
  for (int i = 0; i < threads; ++i) {
    pthread_join(workers[i], NULL);
    total += calls[i][0];
  }
  printf("%.1f %.1f\n", (double)total / seconds, total == 0 ? 0.0 : 1e6 * used_s / (double)total);
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
  double settle_s = 0.5; /* the first calls make engines ready */
  for (char* list = argv[5]; *list != '\0';) {
    measure((int)strtol(list, &list, 10), settle_s, atof(argv[4]));
    settle_s = 0.1;
    if (*list == ',') ++list;
  }
  return 0;
}
