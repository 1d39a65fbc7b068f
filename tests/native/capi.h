// What the C programs of tests and benchmarks share: they call TensorFlow's C API, and any failure ends them.
#ifndef TF_BLADE_TESTS_NATIVE_CAPI_H_
#define TF_BLADE_TESTS_NATIVE_CAPI_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

static inline void check(TF_Status* status, const char* what) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: code %d: %s\n", what, (int)TF_GetCode(status), TF_Message(status));
  exit(1);
}

// The output "operation:index" of a graph.
static inline TF_Output operation(TF_Graph* graph, char* name) {
  char* colon = strchr(name, ':');
  TF_Output output = {NULL, colon == NULL ? 0 : atoi(colon + 1)};
  if (colon != NULL) *colon = '\0';
  output.oper = TF_GraphOperationByName(graph, name);
  if (output.oper == NULL) {
    fprintf(stderr, "no operation %s\n", name);
    exit(1);
  }
  return output;
}

static inline TF_Buffer* read_file(const char* path) {
  FILE* file = fopen(path, "rb");
  long size = -1;
  if (file != NULL && fseek(file, 0, SEEK_END) == 0) size = ftell(file);
  // A byte more: an empty file is no error.
  char* data = size < 0 ? NULL : malloc((size_t)size + 1);
  if (data == NULL || fseek(file, 0, SEEK_SET) != 0 || fread(data, 1, (size_t)size, file) != (size_t)size) {
    fprintf(stderr, "cannot read %s\n", path);
    exit(2);
  }
  fclose(file);
  TF_Buffer* buffer = TF_NewBufferFromString(data, (size_t)size);
  free(data);
  return buffer;
}

#endif  // TF_BLADE_TESTS_NATIVE_CAPI_H_
