// Fuzz target: the parser of engine files, and what guards do with a signature that parsed. A libFuzzer target
// (-fsanitize=fuzzer with clang, -DTF_BLADE_LIBFUZZER); without it the program mutates a corpus by itself:
//
// usage: engine_file_fuzz SECONDS EXECUTIONS SEED CORPUS_FILE...
// Ends after either. Prints the executions, how many of them parsed, and how many of these TF_BLADE_TRUSTED_KEYS lets
// pass. Sanitizers report what they find.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "custom_ops/runtime/engine_file.h"
#include "custom_ops/runtime/trust.h"

namespace tf_blade {
namespace {

constexpr size_t kDigest = 32;
int64_t parsed = 0;
int64_t trusted = 0;

// The guard with dimensions that take turns, and the outputs' shapes from what it bound.
void TryGuard(const EngineSignature& signature, int64_t dim) {
  std::vector<std::vector<int64_t>> dims;
  std::vector<TensorView> views;
  for (const EngineInput& input : signature.inputs) {
    dims.emplace_back();
    for (const DimProgram& program : input.dims) {
      dims.back().push_back(program.is_const() ? program.operand() : dim + static_cast<int64_t>(dims.size() % 2));
    }
  }
  for (size_t i = 0; i < dims.size(); ++i) {
    views.push_back({nullptr, dims[i].data(), static_cast<int32_t>(dims[i].size()), signature.inputs[i].dtype});
  }
  std::vector<int64_t> symbols(signature.symbols.size());
  const GuardVerdict verdict = signature.Check(views, absl::MakeSpan(symbols));
  if (verdict.reason != Reason::kNone) (void)signature.Explain(verdict, views);
  for (size_t i = 0; i < signature.outputs.size(); ++i) {
    const std::vector<int64_t> output(signature.outputs[i].dims.size(), dim);
    (void)signature.OutputFits(static_cast<int>(i), output, symbols);
  }
}

// Where the header says that the file ends, if that can be; signatures may follow.
size_t EndOfFile(absl::string_view bytes) {
  uint64_t size = bytes.size();
  if (bytes.size() >= 24) std::memcpy(&size, &bytes[16], sizeof(size));
  return size <= bytes.size() ? size : bytes.size();
}

}  // namespace
}  // namespace tf_blade

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tf_blade;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)ParseKeyFile(bytes);
  // Past the hash of the whole, which no mutation meets.
  const size_t end = EndOfFile(bytes);
  if (end >= kDigest) {
    const Digest digest = Sha256(absl::string_view(bytes).substr(0, end - kDigest));
    std::memcpy(&bytes[end - kDigest], digest.data(), kDigest);
  }
  const auto file = ParseEngineFile(bytes);
  if (!file.ok()) return 0;
  if (CheckTrust(*file).ok()) {
    // No fuzzer makes a signature: what passes is the one signed engine of the corpus.
    static const Digest first = file->content_hash;
    if (file->content_hash != first) std::abort();
    ++trusted;
  }
  for (const EngineSigner& signer : file->signers) (void)KeyName(signer.key);
  ++parsed;
  int64_t sum = 0;
  for (const EngineSection& section : file->sections) {
    for (const char c : section.data) sum += c;
  }
  for (const int64_t dim : {int64_t{0}, int64_t{1}, int64_t{7}, INT64_MAX - 2, INT64_MIN}) {
    TryGuard(file->signature, dim + (sum == 1 ? 1 : 0));
  }
  return 0;
}

#ifndef TF_BLADE_LIBFUZZER

namespace {

using Random = std::mt19937_64;

size_t Below(Random& random, size_t end) { return end == 0 ? 0 : random() % end; }

// Bytes changed, set to extremes, removed, inserted, and exchanged with another file's.
void Mutate(Random& random, const std::vector<std::string>& corpus, std::string* bytes) {
  const size_t at = Below(random, bytes->size());
  // Most of a file's meaning is at its beginning.
  const size_t near = Below(random, std::min<size_t>(bytes->size(), 400));
  switch (random() % 8) {
    case 0:
      if (!bytes->empty()) (*bytes)[at] = static_cast<char>(random());
      break;
    case 1:
    case 2:
      if (!bytes->empty()) (*bytes)[near] = static_cast<char>((random() % 2 != 0u) ? random() : 0 - random() % 2);
      break;
    case 3:
      for (size_t i = 0; i < 8 && near + i < bytes->size(); ++i) (*bytes)[near + i] = static_cast<char>(random());
      break;
    case 4:
      bytes->erase(near, 1 + random() % 16);
      break;
    case 5:
      bytes->insert(near, 1 + random() % 16, static_cast<char>(random()));
      break;
    case 6:
      bytes->resize(at);
      break;
    default: {
      const std::string& other = corpus[Below(random, corpus.size())];
      const size_t from = Below(random, other.size());
      bytes->replace(near, 64, other.substr(from, random() % 64));
    }
  }
}

// The header's field that says how large the file is: mutations that change it would all end there.
void MendSize(std::string* bytes, uint64_t size) {
  if (bytes->size() >= 24) std::memcpy(&(*bytes)[16], &size, sizeof(size));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::atof(argv[1]));
  const int64_t most = std::atoll(argv[2]);
  Random random(static_cast<uint64_t>(std::atoll(argv[3])));
  std::vector<std::string> corpus;
  for (int i = 4; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  int64_t executions = 0;
  while (executions < most && std::chrono::steady_clock::now() < end) {
    std::string bytes = corpus[Below(random, corpus.size())];
    const size_t behind = bytes.size() - tf_blade::EndOfFile(bytes);  // of signatures
    const int64_t before = tf_blade::parsed;
    for (uint64_t i = random() % 5; i > 0; --i) Mutate(random, corpus, &bytes);
    if (random() % 4 != 0) MendSize(&bytes, bytes.size() - std::min(behind, bytes.size()));
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ++executions;
    // What still parses is a start for more.
    if (tf_blade::parsed > before && corpus.size() < 256 && random() % 16 == 0) corpus.push_back(std::move(bytes));
  }
  std::printf("%lld executions, %lld parsed, %lld trusted\n", static_cast<long long>(executions),
              static_cast<long long>(tf_blade::parsed), static_cast<long long>(tf_blade::trusted));
  return 0;
}

#endif
