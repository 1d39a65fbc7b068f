// What the C programs of tests and benchmarks share: they call TensorFlow's C API, and any failure ends them.
#ifndef TF_BLADE_TESTS_NATIVE_CAPI_H_
#define TF_BLADE_TESTS_NATIVE_CAPI_H_

#ifndef _GNU_SOURCE
#define _GNU_SOURCE  // RTLD_DEFAULT
#endif
#include <dlfcn.h>
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

// The op library of the name; none for "-": then the op is in the program already, or it is nowhere.
static inline TF_Library* load_op_library(const char* name) {
  if (strcmp(name, "-") == 0) return NULL;
  TF_Status* status = TF_NewStatus();
  TF_Library* library = TF_LoadLibrary(name, status);
  check(status, "TF_LoadLibrary");
  TF_DeleteStatus(status);
  return library;
}

// Prints the statistics of the op library, or of the op that is in the program for "-": "{}" where it is nowhere.
static inline void print_stats(const char* name) {
  const int is_named = strcmp(name, "-") != 0;
  void* handle = is_named ? dlopen(name, RTLD_NOW) : RTLD_DEFAULT;
  if (is_named && handle == NULL) exit(3);
  char* (*stats)(void) = (char* (*)(void))dlsym(handle, "tf_blade_runtime_stats_json");
  void (*release)(char*) = (void (*)(char*))dlsym(handle, "tf_blade_free");
  if (is_named && (stats == NULL || release == NULL)) exit(3);
  if (stats == NULL || release == NULL) {
    puts("{}");
    return;
  }
  char* text = stats();
  puts(text);
  release(text);
}

#endif  // TF_BLADE_TESTS_NATIVE_CAPI_H_
