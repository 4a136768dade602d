// How a line of the access log looks.
#ifndef COUNTERSIGN_PROXY_ACCESS_LOG_FORMAT_H_
#define COUNTERSIGN_PROXY_ACCESS_LOG_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/access_log/record.h"

namespace countersign::access_log {

// Longer values are cut, and end in `...`.
inline constexpr size_t kMaxValueBytes = 2048;

// Remembers the date of the last second, which is dearer to make than the rest of a line.
struct TimeCache {
  int64_t second = INT64_MIN;
  char text[sizeof "2026-01-01T00:00:00"] = {};
};

// Immutable. Bytes that peers have chosen come out so that a line stays one line, a field one
// field, and a terminal that shows it obeys nobody.
class LineFormat {
 public:
  enum class Kind : uint8_t { kJson, kText };

  // `fields`: names from FIELDS.md in the order in which they are wanted; none: all for JSON, the
  // line of kText below for text. Errors name the field and list what there is.
  static absl::StatusOr<LineFormat> Make(Kind kind, const std::vector<std::string>& fields);
  LineFormat();  // JSON with all fields

  // Appends the line with its line feed.
  //
  // JSON: RFC 8259; what is not UTF-8 becomes U+FFFD. Fields of requests are left out for
  // connections, and numbers that there are not (a gRPC status) as well.
  //
  // Text without a choice of fields, close to Envoy's:
  //   [START] "METHOD PATH PROTOCOL" STATUS FLAGS REASON RECEIVED SENT DURATION UPSTREAM_DURATION
  //   "USER-AGENT" "REQUEST-ID" "AUTHORITY" "UPSTREAM" DIRECTION DOWNSTREAM "PEER" SECURITY
  // Text with fields: `name=value`, in quotes where that is needed. `-` stands for what is missing;
  // quotes, backslashes, control bytes and everything outside ASCII are written `\"`, `\\`, `\xHH`.
  void Append(const Record& record, TimeCache& time, std::string* out) const;

 private:
  Kind kind_ = Kind::kJson;
  bool chosen_ = false;
  std::vector<uint8_t> columns_;  // into the table of fields
};

// FIELDS.md.
std::string RenderReference();

}  // namespace countersign::access_log

#endif  // COUNTERSIGN_PROXY_ACCESS_LOG_FORMAT_H_
