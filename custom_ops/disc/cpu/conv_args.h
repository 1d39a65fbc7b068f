// What a convolution works on; see conv.h, conv_transpose.h and depthwise.h for what each reads.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_ARGS_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_ARGS_H_

#include <stdint.h>

namespace blade {
namespace {

struct ConvArgs {
  int64_t batch = 0;
  int64_t in_h = 0;
  int64_t in_w = 0;
  int64_t in_c = 0;
  int64_t out_h = 0;
  int64_t out_w = 0;
  int64_t out_c = 0;
  int64_t kernel_h = 1;
  int64_t kernel_w = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t dilation_h = 1;
  int64_t dilation_w = 1;
  int64_t pad_top = 0;
  int64_t pad_left = 0;
  int64_t groups = 1;
  const float* input = nullptr;
  const float* weights_packed = nullptr;
  float* output = nullptr;
};

}  // namespace
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_CONV_ARGS_H_
