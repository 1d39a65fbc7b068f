// Stands in for CUDA's header of this name, of which TensorRT's headers need two types: nothing here is built with
// CUDA.
#ifndef TF_BLADE_CUSTOM_OPS_TENSORRT_CUDA_CUDA_RUNTIME_API_H_
#define TF_BLADE_CUSTOM_OPS_TENSORRT_CUDA_CUDA_RUNTIME_API_H_

typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;

#endif  // TF_BLADE_CUSTOM_OPS_TENSORRT_CUDA_CUDA_RUNTIME_API_H_
