// Loads the op library and a SavedModel through TensorFlow's C API and runs its signature once.
//
// usage: capi_load_run LIBRARY SAVED_MODEL INPUT_OPERATION OUTPUT_OPERATION ROWS COLUMNS
// Reads ROWS x COLUMNS floats from standard input; prints the output's elements, one a line, then the statistics.
#include <stdio.h>
#include <stdlib.h>

#include "tests/native/capi.h"

static TF_Tensor* read_input(int64_t rows, int64_t columns) {
  const int64_t dims[2] = {rows, columns};
  TF_Tensor* tensor = TF_AllocateTensor(TF_FLOAT, dims, 2, (size_t)(rows * columns) * sizeof(float));
  float* data = (float*)TF_TensorData(tensor);
  for (int64_t i = 0; i < rows * columns; ++i) {
    if (scanf("%f", &data[i]) != 1) exit(2);
  }
  return tensor;
}

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  TF_Status* status = TF_NewStatus();
  TF_Library* library = load_op_library(argv[1]);

  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, argv[2], tags, 1, graph, NULL, status);
  check(status, "TF_LoadSessionFromSavedModel");

  TF_Output input = operation(graph, argv[3]);
  TF_Output output = operation(graph, argv[4]);
  TF_Tensor* x = read_input(atoll(argv[5]), atoll(argv[6]));
  TF_Tensor* y = NULL;
  TF_SessionRun(session, NULL, &input, &x, 1, &output, &y, 1, NULL, 0, NULL, status);
  check(status, "TF_SessionRun");
  const float* data = (const float*)TF_TensorData(y);
  for (int64_t i = 0; i < TF_TensorElementCount(y); ++i) printf("%.9g\n", data[i]);
  print_stats(argv[1]);

  TF_DeleteTensor(x);
  TF_DeleteTensor(y);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteLibraryHandle(library);
  TF_DeleteStatus(status);
  return 0;
}
