/* Times a session's calls of a graph, without Python: prints the median nanoseconds of a call.

   usage: call_cost OP_LIBRARY GRAPH CONFIG INPUT OUTPUT ELEMENTS CALLS
   GRAPH and CONFIG are files with a serialized GraphDef and ConfigProto; INPUT and OUTPUT name operations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/native/capi.h"

static int compare(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static double now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc != 8) return 2;
  TF_Status* status = TF_NewStatus();
  TF_LoadLibrary(argv[1], status);
  check(status, "library");
  TF_Graph* graph = TF_NewGraph();
  TF_ImportGraphDefOptions* import_options = TF_NewImportGraphDefOptions();
  TF_GraphImportGraphDef(graph, read_file(argv[2]), import_options, status);
  check(status, "graph");
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Buffer* config = read_file(argv[3]);
  TF_SetConfig(options, config->data, config->length, status);
  check(status, "config");
  TF_Session* session = TF_NewSession(graph, options, status);
  check(status, "session");

  const int64_t dims[2] = {1, atoll(argv[6])};
  TF_Tensor* x = TF_AllocateTensor(TF_FLOAT, dims, 2, sizeof(float) * (size_t)dims[1]);
  for (int64_t i = 0; i < dims[1]; ++i) ((float*)TF_TensorData(x))[i] = (float)i;
  TF_Output input = operation(graph, argv[4]), output = operation(graph, argv[5]);

  const int calls = atoi(argv[7]);
  double* times = malloc(sizeof(double) * (size_t)calls);
  for (int i = -50; i < calls; ++i) {
    TF_Tensor* y = NULL;
    const double begin = now_ns();
    TF_SessionRun(session, NULL, &input, &x, 1, &output, &y, 1, NULL, 0, NULL, status);
    const double end = now_ns();
    check(status, "run");
    if (memcmp(TF_TensorData(x), TF_TensorData(y), TF_TensorByteSize(x)) != 0) {
      fprintf(stderr, "the output is not the input\n");
      return 1;
    }
    TF_DeleteTensor(y);
    if (i >= 0) times[i] = end - begin;
  }
  qsort(times, (size_t)calls, sizeof(double), compare);
  printf("%.0f\n", times[calls / 2]);
  return 0;
}
