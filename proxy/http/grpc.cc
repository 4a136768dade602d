#include "proxy/http/grpc.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace countersign::http {

namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kLongest = std::chrono::hours(24 * 36525);
constexpr int64_t kMostDigits = 99'999'999;
constexpr uint8_t kCount = static_cast<uint8_t>(GrpcStatus::kUnauthenticated) + 1;

constexpr std::array<absl::string_view, kCount> kNumbers = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};

struct Unit {
  char letter;
  int64_t nanoseconds;
};
constexpr Unit kUnits[] = {
    {'n', 1},
    {'u', 1'000},
    {'m', 1'000'000},
    {'S', 1'000'000'000},
    {'M', 60'000'000'000},
    {'H', 3'600'000'000'000},
};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool IsGrpc(const HeaderMap& headers) {
  constexpr absl::string_view kType = "application/grpc";
  const absl::string_view type = headers.Get(HeaderId::kContentType);
  if (!absl::StartsWithIgnoreCase(type, kType)) return false;
  return type.size() == kType.size() || type[kType.size()] == '+' || type[kType.size()] == ';';
}

std::optional<nanoseconds> ParseGrpcTimeout(absl::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t count = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    count = count * 10 + (c - '0');
  }
  for (const Unit& unit : kUnits) {
    if (unit.letter != text.back()) continue;
    if (count > kLongest.count() / unit.nanoseconds) return kLongest;
    return nanoseconds(count * unit.nanoseconds);
  }
  return std::nullopt;
}

std::string FormatGrpcTimeout(nanoseconds timeout) {
  const int64_t total = std::max<int64_t>(1, std::min(timeout, kLongest).count());
  for (const Unit& unit : kUnits) {
    const int64_t count = total / unit.nanoseconds + (total % unit.nanoseconds != 0 ? 1 : 0);
    if (count <= kMostDigits) return absl::StrCat(count, std::string(1, unit.letter));
  }
  return absl::StrCat(kMostDigits, "H");
}

std::optional<GrpcStatus> ParseGrpcStatus(absl::string_view text) {
  for (uint8_t i = 0; i < kCount; ++i) {
    if (text == kNumbers[i]) return static_cast<GrpcStatus>(i);
  }
  return std::nullopt;
}

absl::string_view GrpcStatusNumber(GrpcStatus status) {
  return kNumbers[static_cast<uint8_t>(status)];
}

GrpcStatus GrpcStatusOfHttp(uint16_t status) {
  switch (status) {
    case 200:
      return GrpcStatus::kOk;
    case 400:
      return GrpcStatus::kInternal;
    case 401:
      return GrpcStatus::kUnauthenticated;
    case 403:
      return GrpcStatus::kPermissionDenied;
    case 404:
      return GrpcStatus::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcStatus::kUnavailable;
    default:
      return GrpcStatus::kUnknown;
  }
}

uint16_t HttpStatusOfGrpc(GrpcStatus status) {
  switch (status) {
    case GrpcStatus::kOk:
      return 200;
    case GrpcStatus::kCancelled:
      return 499;
    case GrpcStatus::kInvalidArgument:
    case GrpcStatus::kFailedPrecondition:
    case GrpcStatus::kOutOfRange:
      return 400;
    case GrpcStatus::kDeadlineExceeded:
      return 504;
    case GrpcStatus::kNotFound:
      return 404;
    case GrpcStatus::kAlreadyExists:
    case GrpcStatus::kAborted:
      return 409;
    case GrpcStatus::kPermissionDenied:
      return 403;
    case GrpcStatus::kResourceExhausted:
      return 429;
    case GrpcStatus::kUnimplemented:
      return 501;
    case GrpcStatus::kUnavailable:
      return 503;
    case GrpcStatus::kUnauthenticated:
      return 401;
    case GrpcStatus::kUnknown:
    case GrpcStatus::kInternal:
    case GrpcStatus::kDataLoss:
      break;
  }
  return 500;
}

std::string EncodeGrpcMessage(absl::string_view message) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string text;
  text.reserve(message.size());
  for (const char c : message) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
      text.push_back(c);
    } else {
      text.push_back('%');
      text.push_back(kHex[byte >> 4]);
      text.push_back(kHex[byte & 15]);
    }
  }
  return text;
}

std::string DecodeGrpcMessage(absl::string_view text) {
  std::string message;
  message.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        message.push_back(static_cast<char>(high * 16 + low));
        i += 2;
        continue;
      }
    }
    message.push_back(text[i]);
  }
  return message;
}

}  // namespace countersign::http
