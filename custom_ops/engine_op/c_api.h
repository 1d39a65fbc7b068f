// What the op library exports beside the op, in C.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_C_API_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_C_API_H_

#ifdef __cplusplus
extern "C" {
#endif

#define TF_BLADE_EXPORT __attribute__((visibility("default")))

// What engines did in this process, as JSON. The caller frees it with tf_blade_free; null when memory is out.
TF_BLADE_EXPORT char* tf_blade_runtime_stats_json(void);

// Sets all counters to zero.
TF_BLADE_EXPORT void tf_blade_runtime_stats_reset(void);

// Whether a file's bytes are a valid engine file that this processor can run: null when they are, else the reason, to
// be freed with tf_blade_free.
TF_BLADE_EXPORT char* tf_blade_check_engine(const char* bytes, unsigned long long size);

// Who signed an engine file: a line for each signature, "ed25519:" with the key in hexadecimal and " right" or "
// wrong". Whether a key is trusted does not matter. Null when there are none or the file is malformed; freed with
// tf_blade_free.
TF_BLADE_EXPORT char* tf_blade_engine_signers(const char* bytes, unsigned long long size);

// Graphs that are prepared while it is paused keep a portable model's calls as they are. What is paused n times must be
// resumed n times.
TF_BLADE_EXPORT void tf_blade_pause_portable(void);
TF_BLADE_EXPORT void tf_blade_resume_portable(void);

TF_BLADE_EXPORT void tf_blade_free(char* text);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_C_API_H_
