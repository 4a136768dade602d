// The little HTTP/1.1 that an administrator's browser, curl and Prometheus speak. Not for the data
// path: no bodies, one request a connection, and anything unusual is refused.
#ifndef COUNTERSIGN_PROXY_ADMIN_REQUEST_H_
#define COUNTERSIGN_PROXY_ADMIN_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace countersign::admin {

// Request line and headers together.
inline constexpr size_t kMaxRequestBytes = 8192;
inline constexpr size_t kMaxHeaders = 100;

struct Request {
  std::string method;  // GET, HEAD or POST
  std::string path;    // begins with `/`, percent-decoding is not done: no page needs it
  absl::flat_hash_map<std::string, std::string> query;
  std::string host;  // the Host header without its port
  // A browser says that another site's page makes it ask.
  bool cross_site = false;
};

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;

  static Response Text(int status, std::string body) {
    return {.status = status, .body = std::move(body)};
  }
  static Response Json(std::string body) {
    return {.content_type = "application/json", .body = std::move(body)};
  }
};

enum class ParseResult : uint8_t { kIncomplete, kDone, kError };

// Parses the head of a request (RFC 9112, sections 2 to 5, strictly: CR LF, no folding, exactly one
// Host, no body but an empty one). `error` is filled in for kError.
ParseResult ParseRequest(absl::string_view bytes, Request* request, Response* error);

// Status line, headers and, unless `head`, the body; `connection: close`.
std::string SerializeResponse(const Response& response, bool head);

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_REQUEST_H_
