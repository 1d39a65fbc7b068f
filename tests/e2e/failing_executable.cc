// An executable with the RAL's ABI that computes nothing: init and run give the results that macros name.
#include "custom_ops/disc/ral.h"

namespace {

int32_t Init(const BladeRal* ral, const BladeTensor* inputs, void** state) {
  if (INIT_RESULT != BLADE_OK) ral->set_error(ral->context, "init was told to fail");
  return INIT_RESULT;
}

int32_t Run(const BladeRal* ral, const void* state, const BladeTensor* inputs) {
  if (RUN_RESULT != BLADE_OK) ral->set_error(ral->context, "run was told to fail");
  return RUN_RESULT;
}

const BladeVariant kVariants[] = {{BLADE_ISA_X86_64_V3, Init, Run}};
const BladeExecutable kExecutable = {TF_BLADE_RAL_VERSION, NUM_INPUTS, NUM_OUTPUTS, 1, kVariants};

}  // namespace

extern "C" __attribute__((visibility("default"))) const BladeExecutable* tf_blade_executable() { return &kExecutable; }
