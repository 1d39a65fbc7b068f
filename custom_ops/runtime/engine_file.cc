#include "custom_ops/runtime/engine_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "custom_ops/runtime/byte_reader.h"

namespace tf_blade {
namespace {

constexpr absl::string_view kMagic("TFBLADE\x1a", 8);
constexpr size_t kFixedHeader = 8 + 4 + 4 + 8 + 4;  // magic, version, flags, file size, metadata size
constexpr size_t kDigest = 32;
constexpr size_t kSectionAlignment = 64;
constexpr uint64_t kMaxFile = uint64_t{1} << 31;
constexpr uint32_t kMaxSymbols = 4096;
constexpr uint32_t kMaxTensors = 65536;
constexpr uint32_t kMaxSections = 64;
constexpr uint32_t kMaxTargets = 64;
constexpr absl::string_view kSignersMagic("TFBSIGN\x1a", 8);
constexpr uint32_t kMaxSigners = 16;

absl::Status Corrupt(absl::string_view what) { return Refuse(Reason::kCorrupt, absl::StrCat("engine file: ", what)); }

Digest ReadDigest(ByteReader& reader) {
  Digest digest{};
  const absl::string_view raw = reader.ReadBytes(kDigest);
  if (reader.ok()) std::copy(raw.begin(), raw.end(), reinterpret_cast<char*>(digest.data()));
  return digest;
}

// Every element takes at least a byte, so a count that the rest cannot hold ends at the first read past the end.
bool ReadTargets(ByteReader& reader, std::vector<int32_t>* targets) {
  const uint32_t count = reader.Read<uint32_t>();
  if (count > kMaxTargets) return false;
  for (uint32_t i = 0; i < count && reader.ok(); ++i) targets->push_back(reader.Read<int32_t>());
  return reader.ok();
}

bool ReadProgram(ByteReader& reader, int num_symbols, DimProgram* program) {
  const uint16_t length = reader.Read<uint16_t>();
  std::vector<DimOp> ops;
  for (uint16_t i = 0; i < length && reader.ok(); ++i) {
    const auto code = static_cast<DimOpcode>(reader.Read<uint8_t>());
    ops.push_back({code, reader.Read<int64_t>()});
  }
  return reader.ok() && DimProgram::Make(std::move(ops), num_symbols, program);
}

bool ReadDims(ByteReader& reader, int num_symbols, std::vector<DimProgram>* dims) {
  const uint8_t rank = reader.Read<uint8_t>();
  if (rank > kMaxRank) return false;
  dims->resize(rank);
  for (DimProgram& dim : *dims) {
    if (!ReadProgram(reader, num_symbols, &dim)) return false;
  }
  return reader.ok();
}

bool ReadSymbols(ByteReader& reader, std::vector<SymbolInfo>* symbols) {
  const uint32_t count = reader.Read<uint32_t>();
  if (count > kMaxSymbols) return false;
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    SymbolInfo symbol;
    symbol.name = std::string(reader.ReadString());
    symbol.min = reader.Read<int64_t>();
    symbol.max = reader.Read<int64_t>();
    symbols->push_back(std::move(symbol));
  }
  return reader.ok();
}

bool ReadInputs(ByteReader& reader, int num_symbols, std::vector<EngineInput>* inputs) {
  const uint32_t count = reader.Read<uint32_t>();
  if (count > kMaxTensors) return false;
  for (uint32_t i = 0; i < count; ++i) {
    EngineInput input;
    input.name = std::string(reader.ReadString());
    input.dtype = reader.Read<int32_t>();
    const uint8_t kind = reader.Read<uint8_t>();
    input.is_weight = kind == 1;
    if (kind > 1 || !ReadDims(reader, num_symbols, &input.dims)) return false;
    inputs->push_back(std::move(input));
  }
  return reader.ok();
}

bool ReadOutputs(ByteReader& reader, int num_symbols, std::vector<EngineOutput>* outputs) {
  const uint32_t count = reader.Read<uint32_t>();
  if (count > kMaxTensors) return false;
  for (uint32_t i = 0; i < count; ++i) {
    EngineOutput output;
    output.name = std::string(reader.ReadString());
    output.dtype = reader.Read<int32_t>();
    if (!ReadDims(reader, num_symbols, &output.dims)) return false;
    outputs->push_back(std::move(output));
  }
  return reader.ok();
}

bool ReadSignature(ByteReader& reader, EngineSignature* signature) {
  if (!ReadSymbols(reader, &signature->symbols)) return false;
  const int num_symbols = static_cast<int>(signature->symbols.size());
  return ReadInputs(reader, num_symbols, &signature->inputs) && ReadOutputs(reader, num_symbols, &signature->outputs);
}

// `payload` is the file between the metadata and the content hash; offsets count from the file's start.
absl::Status ReadSections(ByteReader& reader, absl::string_view file, size_t begin, size_t end,
                          std::vector<EngineSection>* sections) {
  const uint32_t count = reader.Read<uint32_t>();
  if (count > kMaxSections) return Corrupt("too many sections");
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    EngineSection section;
    section.name = std::string(reader.ReadString());
    const uint64_t offset = reader.Read<uint64_t>();
    const uint64_t size = reader.Read<uint64_t>();
    const Digest digest = ReadDigest(reader);
    if (!reader.ok() || offset % kSectionAlignment != 0 || offset < begin || offset > end || size > end - offset) {
      return Corrupt("a section lies outside of the file");
    }
    section.data = file.substr(offset, size);
    if (Sha256(section.data) != digest) {
      return Refuse(Reason::kHash, absl::StrCat("engine file: the hash of section '", section.name, "' is wrong"));
    }
    sections->push_back(std::move(section));
  }
  return reader.ok() ? absl::OkStatus() : Corrupt("the section table is cut short");
}

// What follows the content hash: nothing, or who signed it.
absl::Status ReadSigners(absl::string_view bytes, std::vector<EngineSigner>* signers) {
  if (bytes.empty()) return absl::OkStatus();
  ByteReader reader(bytes);
  if (reader.ReadBytes(kSignersMagic.size()) != kSignersMagic) return Corrupt("bytes follow the file");
  const uint32_t count = reader.Read<uint32_t>();
  for (uint32_t i = 0; i < count && i < kMaxSigners && reader.ok(); ++i) {
    const absl::string_view key = reader.ReadBytes(sizeof(PublicKey));
    const absl::string_view signature = reader.ReadBytes(sizeof(KeySignature));
    if (!reader.ok()) break;
    EngineSigner& signer = signers->emplace_back();
    std::copy(key.begin(), key.end(), reinterpret_cast<char*>(signer.key.data()));
    std::copy(signature.begin(), signature.end(), reinterpret_cast<char*>(signer.signature.data()));
  }
  const bool all_read = reader.ok() && signers->size() == count && reader.position() == bytes.size();
  return all_read ? absl::OkStatus() : Corrupt("the signatures are malformed");
}

struct Envelope {
  uint32_t metadata_size = 0;
  absl::string_view file;  // without the signatures
  Digest content_hash{};
};

// Checks what comes before the metadata and the content hash.
absl::StatusOr<Envelope> CheckEnvelope(absl::string_view bytes) {
  Envelope envelope;
  ByteReader reader(bytes);
  if (reader.ReadBytes(kMagic.size()) != kMagic) return Corrupt("this is no engine file");
  const uint32_t version = reader.Read<uint32_t>();
  if (reader.ok() && version != kEngineFormatVersion) {
    return Refuse(Reason::kVersion,
                  absl::StrCat("engine file: format version ", version, ", this runtime reads ", kEngineFormatVersion));
  }
  const uint32_t flags = reader.Read<uint32_t>();
  const uint64_t file_size = reader.Read<uint64_t>();
  envelope.metadata_size = reader.Read<uint32_t>();
  if (!reader.ok() || flags != 0 || file_size > bytes.size() || file_size > kMaxFile ||
      file_size < kFixedHeader + kDigest || envelope.metadata_size > file_size - kFixedHeader - kDigest) {
    return Corrupt("the header does not fit the file");
  }
  envelope.file = bytes.substr(0, file_size);
  envelope.content_hash = Sha256(envelope.file.substr(0, file_size - kDigest));
  ByteReader tail(envelope.file.substr(file_size - kDigest));
  if (ReadDigest(tail) != envelope.content_hash) return Refuse(Reason::kHash, "engine file: the content hash is wrong");
  return envelope;
}

}  // namespace

const EngineSection* EngineFile::FindSection(absl::string_view name) const {
  for (const EngineSection& section : sections) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

absl::StatusOr<EngineFile> ParseEngineFile(absl::string_view bytes) {
  EngineFile file;
  const absl::StatusOr<Envelope> envelope = CheckEnvelope(bytes);
  if (!envelope.ok()) return envelope.status();
  const size_t metadata_size = envelope->metadata_size;
  file.content_hash = envelope->content_hash;
  absl::Status status = ReadSigners(bytes.substr(envelope->file.size()), &file.signers);
  if (!status.ok()) return status;
  ByteReader reader(bytes.substr(kFixedHeader, metadata_size));
  file.cluster_hash = ReadDigest(reader);
  file.backend = std::string(reader.ReadString());
  file.backend_version = std::string(reader.ReadString());
  file.ral_version = reader.Read<uint32_t>();
  if (!ReadTargets(reader, &file.isa_levels) || !ReadTargets(reader, &file.compute_capabilities)) {
    return Corrupt("the targets are malformed");
  }
  if (!ReadSignature(reader, &file.signature)) return Corrupt("the signature is malformed");
  const size_t begin = kFixedHeader + metadata_size;
  status = ReadSections(reader, bytes, begin, envelope->file.size() - kDigest, &file.sections);
  if (!status.ok()) return status;
  if (reader.position() != metadata_size) return Corrupt("bytes follow the metadata");
  return file;
}

}  // namespace tf_blade
