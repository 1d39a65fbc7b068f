// A server in C: loads the op library and a SavedModel through TensorFlow's C API and answers requests.
//
// usage: capi_serve LIBRARY SAVED_MODEL OUTPUT_OPERATION INPUT_OPERATION... [+GRAPH_DEF]
// LIBRARY may be "-" for none: then the op is there if it is linked in or LD_PRELOAD names the library, and else it is
// not. A request on standard input is ROWS COLUMNS and, for each input, ROWS x COLUMNS integers. The answer is a line
// with the number of elements, and the elements, one a line. After the last request come the statistics. A graph
// definition is added to the session's graph after the first request: its "answer" is the model's output, and what its
// operation "extended" makes of it is the answer to all further requests.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/native/capi.h"

enum { kMaxInputs = 8 };

static TF_Tensor* read_input(int64_t rows, int64_t columns) {
  const int64_t dims[2] = {rows, columns};
  TF_Tensor* tensor = TF_AllocateTensor(TF_INT32, dims, 2, (size_t)(rows * columns) * sizeof(int32_t));
  int32_t* data = (int32_t*)TF_TensorData(tensor);
  for (int64_t i = 0; i < rows * columns; ++i) {
    if (scanf("%" SCNd32, &data[i]) != 1) exit(2);
  }
  return tensor;
}

static TF_Output extend(TF_Graph* graph, const char* path, TF_Output output) {
  TF_Buffer* definition = read_file(path);
  TF_ImportGraphDefOptions* options = TF_NewImportGraphDefOptions();
  TF_ImportGraphDefOptionsAddInputMapping(options, "answer", 0, output);
  TF_Status* status = TF_NewStatus();
  TF_GraphImportGraphDef(graph, definition, options, status);
  check(status, "TF_GraphImportGraphDef");
  TF_DeleteStatus(status);
  TF_DeleteImportGraphDefOptions(options);
  TF_DeleteBuffer(definition);
  char name[] = "extended";
  return operation(graph, name);
}

int main(int argc, char** argv) {
  const char* extension = argv[argc - 1][0] == '+' ? argv[argc - 1] + 1 : NULL;
  const int num_inputs = argc - 4 - (extension != NULL);
  if (num_inputs < 1 || num_inputs > kMaxInputs) return 2;
  TF_Status* status = TF_NewStatus();
  TF_Library* library = load_op_library(argv[1]);

  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, argv[2], tags, 1, graph, NULL, status);
  check(status, "TF_LoadSessionFromSavedModel");
  TF_Output output = operation(graph, argv[3]);
  TF_Output inputs[kMaxInputs];
  for (int i = 0; i < num_inputs; ++i) inputs[i] = operation(graph, argv[4 + i]);

  int64_t rows, columns;
  while (scanf("%" SCNd64 " %" SCNd64, &rows, &columns) == 2) {
    TF_Tensor* values[kMaxInputs];
    for (int i = 0; i < num_inputs; ++i) values[i] = read_input(rows, columns);
    TF_Tensor* result = NULL;
    TF_SessionRun(session, NULL, inputs, values, num_inputs, &output, &result, 1, NULL, 0, NULL, status);
    check(status, "TF_SessionRun");
    const float* data = (const float*)TF_TensorData(result);
    printf("%" PRId64 "\n", TF_TensorElementCount(result));
    for (int64_t i = 0; i < TF_TensorElementCount(result); ++i) printf("%.9g\n", data[i]);
    for (int i = 0; i < num_inputs; ++i) TF_DeleteTensor(values[i]);
    TF_DeleteTensor(result);
    if (extension != NULL) output = extend(graph, extension, output);
    extension = NULL;
  }
  print_stats(argv[1]);

  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  if (library != NULL) TF_DeleteLibraryHandle(library);
  TF_DeleteStatus(status);
  return 0;
}
