#include "api/spiffe/spiffe_id.h"

#include "absl/strings/str_cat.h"

namespace countersign::spiffe {
namespace {

constexpr absl::string_view kScheme = "spiffe://";

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsMark(char c) { return c == '.' || c == '-' || c == '_'; }

// A character as an error message may show it.
std::string Shown(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte > 0x20 && byte < 0x7f) return absl::StrCat("'", std::string(1, c), "'");
  return absl::StrCat("byte 0x", absl::Hex(byte, absl::kZeroPad2));
}

absl::Status CheckPath(absl::string_view path) {
  // SPIFFE-ID, section 2.2: segments of letters, digits, dots, dashes and underscores.
  size_t start = 1;
  while (true) {
    size_t end = path.find('/', start);
    if (end == absl::string_view::npos) end = path.size();
    const absl::string_view segment = path.substr(start, end - start);
    if (segment.empty()) {
      return absl::InvalidArgumentError(end == path.size()
                                            ? "a SPIFFE ID's path must not end with a slash"
                                            : "a SPIFFE ID's path must not have an empty segment");
    }
    if (segment == "." || segment == "..") {
      return absl::InvalidArgumentError("a SPIFFE ID's path must not have . or .. as a segment");
    }
    for (char c : segment) {
      if (!IsLower(c) && !IsUpper(c) && !IsDigit(c) && !IsMark(c)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "a SPIFFE ID's path may have only letters, digits and .-_ in it, not ", Shown(c)));
      }
    }
    if (end == path.size()) return absl::OkStatus();
    start = end + 1;
  }
}

}  // namespace

absl::Status CheckTrustDomain(absl::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("the trust domain is empty");
  if (name.size() > kMaxTrustDomainBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the trust domain is longer than ", kMaxTrustDomainBytes, " bytes"));
  }
  for (char c : name) {
    if (IsUpper(c)) {
      return absl::InvalidArgumentError("a trust domain is lower case; this one is not");
    }
    if (!IsLower(c) && !IsDigit(c) && !IsMark(c)) {
      return absl::InvalidArgumentError(
          absl::StrCat("a trust domain may have only a-z, 0-9 and .-_ in it, not ", Shown(c)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SpiffeId> SpiffeId::Parse(absl::string_view uri) {
  if (uri.size() > kMaxSpiffeIdBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a SPIFFE ID has at most ", kMaxSpiffeIdBytes, " bytes"));
  }
  // RFC 3986 would allow the scheme in any case; one spelling keeps comparison exact.
  if (uri.substr(0, kScheme.size()) != kScheme) {
    return absl::InvalidArgumentError("a SPIFFE ID begins with spiffe:// in lower case");
  }
  size_t end = uri.find('/', kScheme.size());
  if (end == absl::string_view::npos) end = uri.size();
  absl::Status status = CheckTrustDomain(uri.substr(kScheme.size(), end - kScheme.size()));
  if (!status.ok()) return status;
  if (end < uri.size()) {
    status = CheckPath(uri.substr(end));
    if (!status.ok()) return status;
  }
  SpiffeId id;
  id.uri_.assign(uri.data(), uri.size());
  id.trust_domain_end_ = end;
  return id;
}

absl::string_view SpiffeId::trust_domain() const {
  if (uri_.empty()) return {};
  return absl::string_view(uri_).substr(kScheme.size(), trust_domain_end_ - kScheme.size());
}

absl::string_view SpiffeId::path() const {
  return absl::string_view(uri_).substr(trust_domain_end_);
}

}  // namespace countersign::spiffe
