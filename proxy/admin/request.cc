#include "proxy/admin/request.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace countersign::admin {
namespace {

ParseResult Refuse(int status, absl::string_view why, Response* error) {
  *error = Response::Text(status, absl::StrCat(why, "\n"));
  return ParseResult::kError;
}

bool IsToken(absl::string_view text) {
  constexpr absl::string_view kOthers = "!#$%&'*+-.^_`|~";
  for (char c : text) {
    if (!absl::ascii_isalnum(c) && kOthers.find(c) == absl::string_view::npos) {
      return false;
    }
  }
  return !text.empty();
}

bool HasControl(absl::string_view text) {
  for (unsigned char c : text) {
    if ((c < 0x20 && c != '\t') || c == 0x7F) {
      return true;
    }
  }
  return false;
}

// The value of a Host header without its port; empty if it is malformed.
absl::string_view HostOnly(absl::string_view host) {
  size_t end = host.find(':');
  if (absl::StartsWith(host, "[")) {
    end = host.find(']');
    if (end == absl::string_view::npos) {
      return "";
    }
    ++end;
  }
  const absl::string_view rest =
      end == absl::string_view::npos ? absl::string_view() : host.substr(end);
  uint32_t port = 0;
  if (!rest.empty() &&
      (rest[0] != ':' || !absl::SimpleAtoi(rest.substr(1), &port) || port > 65535)) {
    return "";
  }
  return host.substr(0, end);
}

ParseResult ParseRequestLine(absl::string_view line, Request* request, Response* error) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  if (parts.size() != 3 || !IsToken(parts[0]) || HasControl(parts[1])) {
    return Refuse(400, "This is no HTTP/1.1 request line.", error);
  }
  if (parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0") {
    return Refuse(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.", error);
  }
  if (parts[0] != "GET" && parts[0] != "HEAD" && parts[0] != "POST") {
    return Refuse(405, "Only GET, HEAD and POST are understood here.", error);
  }
  if (!absl::StartsWith(parts[1], "/")) {
    return Refuse(400, "The request target must be a path.", error);
  }
  request->method = std::string(parts[0]);
  const std::pair<absl::string_view, absl::string_view> target =
      absl::StrSplit(parts[1], absl::MaxSplits('?', 1));
  request->path = std::string(target.first);
  for (absl::string_view item : absl::StrSplit(target.second, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(item, absl::MaxSplits('=', 1));
    request->query[std::string(pair.first)] = std::string(pair.second);
  }
  return ParseResult::kDone;
}

const char* ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

}  // namespace

ParseResult ParseRequest(absl::string_view bytes, Request* request, Response* error) {
  *request = Request();
  const size_t end = bytes.substr(0, kMaxRequestBytes).find("\r\n\r\n");
  if (end == absl::string_view::npos) {
    if (bytes.size() >= kMaxRequestBytes) {
      return Refuse(431, "The request's head is larger than 8 KiB.", error);
    }
    // What cannot become a request is refused at once; a person who speaks TLS here gets an answer.
    if (!bytes.empty() && !absl::ascii_isupper(bytes[0])) {
      return Refuse(400, "This port speaks plain HTTP.", error);
    }
    return ParseResult::kIncomplete;
  }
  const std::vector<absl::string_view> lines = absl::StrSplit(bytes.substr(0, end), "\r\n");
  if (ParseRequestLine(lines[0], request, error) == ParseResult::kError) {
    return ParseResult::kError;
  }
  if (lines.size() - 1 > kMaxHeaders) {
    return Refuse(431, "More than 100 header fields.", error);
  }
  bool host_seen = false;
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t colon = lines[i].find(':');
    if (colon == absl::string_view::npos || !IsToken(lines[i].substr(0, colon)) ||
        HasControl(lines[i])) {
      return Refuse(400, "A header field is malformed.", error);
    }
    const std::string name = absl::AsciiStrToLower(lines[i].substr(0, colon));
    const absl::string_view value = absl::StripAsciiWhitespace(lines[i].substr(colon + 1));
    if (name == "host") {
      const absl::string_view host = HostOnly(value);
      if (host_seen || host.empty()) {
        return Refuse(400, "The Host header stands twice or is malformed.", error);
      }
      host_seen = true;
      request->host = absl::AsciiStrToLower(host);
    } else if (name == "origin" ||
               (name == "sec-fetch-site" && value != "same-origin" && value != "none")) {
      request->cross_site = true;
    } else if (name == "transfer-encoding" || (name == "content-length" && value != "0")) {
      return Refuse(413, "Requests have no body here; parameters stand in the query.", error);
    }
  }
  if (!host_seen) {
    return Refuse(400, "The Host header is missing.", error);
  }
  return ParseResult::kDone;
}

std::string SerializeResponse(const Response& response, bool head) {
  return absl::StrCat("HTTP/1.1 ", response.status, " ", ReasonPhrase(response.status),
                      "\r\ncontent-type: ", response.content_type,
                      "\r\ncontent-length: ", response.body.size(),
                      "\r\ncache-control: no-store\r\nx-content-type-options: nosniff",
                      response.status == 405 ? "\r\nallow: GET, HEAD, POST" : "",
                      "\r\nconnection: close\r\n\r\n", head ? "" : response.body);
}

}  // namespace countersign::admin
