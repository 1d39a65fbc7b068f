#include "custom_ops/runtime/trust.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "custom_ops/runtime/environment.h"
#include "custom_ops/runtime/reason.h"

namespace tf_blade {
namespace {

using Keys = std::vector<PublicKey>;

constexpr char kVariable[] = "TF_BLADE_TRUSTED_KEYS";
// What is signed: this and the content hash. No signature that a key gave for something else fits.
constexpr absl::string_view kContext("tf_blade engine signature 1\n");
constexpr absl::string_view kPemBegin = "-----BEGIN ";
constexpr absl::string_view kPemPublic = "-----BEGIN PUBLIC KEY-----";
constexpr absl::string_view kPemEnd = "-----END PUBLIC KEY-----";
// RFC 8410: SubjectPublicKeyInfo of an Ed25519 key; its 32 bytes follow.
constexpr absl::string_view kDerPrefix("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 12);
constexpr size_t kMaxKeyFile = 1 << 16;

absl::Status Malformed(absl::string_view what) { return absl::InvalidArgumentError(what); }

// How an entry is shown: whatever it is, it need not be in a log in full.
std::string Shown(absl::string_view entry) {
  return absl::StrCat("'", absl::CEscape(entry.substr(0, 80)), entry.size() > 80 ? "…'" : "'");
}

bool ToKey(absl::string_view raw, Keys* keys) {
  if (raw.size() != sizeof(PublicKey)) return false;
  PublicKey key;
  std::copy(raw.begin(), raw.end(), reinterpret_cast<char*>(key.data()));
  keys->push_back(key);
  return true;
}

// A key in hexadecimal or base64; false for anything else.
bool ParseKey(absl::string_view text, Keys* keys) {
  std::string raw;
  const bool is_hex = text.size() == 64 && std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
  if (is_hex) return absl::HexStringToBytes(text, &raw) && ToKey(raw, keys);
  return text.size() == 44 && text.back() == '=' && absl::Base64Unescape(text, &raw) && ToKey(raw, keys);
}

// A PEM block from its first line on. Gives what follows it.
absl::StatusOr<absl::string_view> ParsePem(absl::string_view text, Keys* keys) {
  const size_t end = text.find(kPemEnd);
  if (text.substr(0, kPemPublic.size()) != kPemPublic) return Malformed("a PEM block is no public key");
  if (end == absl::string_view::npos) return Malformed("a PEM block is cut short");
  std::string base64(text.substr(kPemPublic.size(), end - kPemPublic.size()));
  base64.erase(std::remove_if(base64.begin(), base64.end(), absl::ascii_isspace), base64.end());
  std::string der;
  if (!absl::Base64Unescape(base64, &der) || absl::string_view(der).substr(0, kDerPrefix.size()) != kDerPrefix ||
      !ToKey(absl::string_view(der).substr(kDerPrefix.size()), keys)) {
    return Malformed("a PEM block is no Ed25519 public key");
  }
  return text.substr(end + kPemEnd.size());
}

absl::StatusOr<Keys> ReadKeyFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxKeyFile + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  // Of a folder nothing can be read either.
  if (!file.eof()) return Malformed(absl::StrCat(Shown(path), " is neither a key nor a file that can be read"));
  text.resize(file.gcount());
  absl::StatusOr<Keys> keys = ParseKeyFile(text);
  if (!keys.ok()) return Malformed(absl::StrCat("file ", Shown(path), ": ", keys.status().message()));
  return keys;
}

// The signed statement.
std::string Statement(const Digest& content_hash) {
  const auto* const digest = reinterpret_cast<const char*>(content_hash.data());
  return absl::StrCat(kContext, absl::string_view(digest, content_hash.size()));
}

}  // namespace

absl::StatusOr<Keys> ParseKeyFile(absl::string_view text) {
  const absl::string_view whole = text;
  Keys keys;
  for (text = absl::StripLeadingAsciiWhitespace(text); !text.empty(); text = absl::StripLeadingAsciiWhitespace(text)) {
    if (text.substr(0, kPemBegin.size()) == kPemBegin) {
      const absl::StatusOr<absl::string_view> rest = ParsePem(text, &keys);
      if (!rest.ok()) return rest.status();
      text = *rest;
      continue;
    }
    const absl::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size());
    if (line.front() == '#') continue;
    const absl::string_view key = absl::StripTrailingAsciiWhitespace(line);
    if (!ParseKey(key, &keys)) {
      // Its number only: the file may be one that was not meant, and secret.
      const auto before = whole.substr(0, whole.size() - text.size() - line.size());
      return Malformed(absl::StrCat("line ", 1 + std::count(before.begin(), before.end(), '\n'), " is no key"));
    }
  }
  if (keys.empty()) return Malformed("there is no key in it");
  return keys;
}

absl::StatusOr<Keys> ParseTrustedKeys(absl::string_view value) {
  Keys keys;
  for (const absl::string_view entry : absl::StrSplit(value, ':')) {
    if (entry.empty()) return Malformed(value.empty() ? "it is empty" : "an entry is empty");
    if (ParseKey(entry, &keys)) continue;
    const bool is_pem = absl::StripLeadingAsciiWhitespace(entry).substr(0, kPemBegin.size()) == kPemBegin;
    const absl::StatusOr<Keys> more = is_pem ? ParseKeyFile(entry) : ReadKeyFile(std::string(entry));
    if (!more.ok()) return more.status();
    keys.insert(keys.end(), more->begin(), more->end());
  }
  return keys;
}

absl::Status CheckTrust(const EngineFile& file) { return CheckTrust(file.content_hash, file.signers); }

absl::Status CheckTrust(const Digest& content_hash, const std::vector<EngineSigner>& signers) {
  // Read each time: keys can be exchanged while a server runs, and loading an engine takes far longer.
  const char* const value = std::getenv(kVariable);
  if (value == nullptr) return absl::OkStatus();
  const absl::StatusOr<Keys> keys = ParseTrustedKeys(value);
  if (!keys.ok()) {
    LogErrorOnce(absl::StrCat(kVariable, " is malformed: ", keys.status().message(),
                              ". No engine is trusted: TensorFlow serves all calls"));
    return Refuse(Reason::kUntrusted, absl::StrCat(kVariable, " is malformed"));
  }
  if (!HasEd25519()) {
    LogErrorOnce(absl::StrCat(kVariable, " is set, but this TensorFlow has no function to verify signatures with. ",
                              "No engine is trusted: TensorFlow serves all calls"));
    return Refuse(Reason::kUntrusted, "this TensorFlow has no function to verify signatures with");
  }
  std::string others;
  for (const EngineSigner& signer : signers) {
    if (std::find(keys->begin(), keys->end(), signer.key) == keys->end()) {
      absl::StrAppend(&others, others.empty() ? "" : ", ", KeyName(signer.key));
    } else if (VerifyEd25519(signer.key, signer.signature, Statement(content_hash))) {
      return absl::OkStatus();
    } else {
      return Refuse(Reason::kUntrusted, absl::StrCat("the signature of ", KeyName(signer.key), " is wrong"));
    }
  }
  if (others.empty()) return Refuse(Reason::kUntrusted, "it is not signed");
  return Refuse(Reason::kUntrusted, absl::StrCat("it is signed by no trusted key, only by ", others));
}

bool IsSignedBy(const EngineFile& file, const EngineSigner& signer) {
  return VerifyEd25519(signer.key, signer.signature, Statement(file.content_hash));
}

std::string KeyName(const PublicKey& key) {
  return absl::StrCat("ed25519:",
                      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(key.data()), key.size())));
}

}  // namespace tf_blade
