// The route table: for any table and any request it takes the route that the plain rules take.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/router/route_table.h"
#include "tests/fuzz/route_table/reference_matcher.h"

namespace countersign::router {
namespace {

// Choices, taken from the input byte by byte; zeros once it has ended.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  uint8_t Next() { return at_ == end_ ? 0 : *at_++; }
  size_t Below(size_t bound) { return Next() % bound; }
  bool Coin() { return (Next() & 1) != 0; }
  // From a small alphabet, so that texts meet; a byte of 0xff takes the bytes that follow as they
  // are.
  std::string Text(const char* const* words, size_t count, size_t most) {
    std::string out;
    for (size_t n = Below(most + 1); n > 0; --n) {
      const uint8_t byte = Next();
      if (byte == 0xff) {
        out.push_back(static_cast<char>(Next()));
      } else {
        out += words[byte % count];
      }
    }
    return out;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

constexpr const char* kHostWords[] = {"a", "b", ".", "a.b", "-", ":80", ":", "1", "[::1]", "B"};
constexpr const char* kPathWords[] = {"/", "a", "b",   "/a", "/b", "A",
                                      "?", "&", "q=1", "q",  "=",  "#"};
constexpr const char* kWords[] = {"x", "y", "X", ",", "", "xy", "; ", "1"};
constexpr const char* kNames[] = {"x-a", "cookie", ":path", ":method", ":authority", ":scheme"};
constexpr const char* kRegexes[] = {"/a.*", "(x|y)*", ".*b", "/(a|b)+/?", "[^,]*", ""};
constexpr const char* kTypes[] = {"application/grpc",  "application/grpc+proto",
                                  "application/grpcx", "application/grpc;a=b",
                                  "text/plain",        ""};

template <size_t N>
std::string Text(Bytes& bytes, const char* const (&words)[N], size_t most) {
  return bytes.Text(words, N, most);
}

std::shared_ptr<const re2::RE2> Regex(Bytes& bytes) {
  // Compiling is what costs here, so there is one of each.
  static const auto* const all = [] {
    auto* made = new std::vector<std::shared_ptr<const re2::RE2>>;
    for (const char* text : kRegexes) made->push_back(std::make_shared<const re2::RE2>(text));
    return made;
  }();
  return (*all)[bytes.Below(all->size())];
}

config::StringMatch MakeStringMatch(Bytes& bytes) {
  config::StringMatch match;
  match.kind = static_cast<config::StringMatch::Kind>(bytes.Below(6));
  match.text = Text(bytes, kWords, 2);
  match.regex = Regex(bytes);
  match.ignore_case = match.kind != config::StringMatch::Kind::kRegex && bytes.Coin();
  match.invert = bytes.Coin();
  return match;
}

std::string MakeDomain(Bytes& bytes) {
  std::string domain;
  for (const char c : Text(bytes, kHostWords, 2)) {
    // The configuration's domains are in lower case, with a star at one end at most.
    if (c != '*') domain.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
  }
  switch (bytes.Below(4)) {
    case 0:
      return "*" + domain;
    case 1:
      return domain.empty() ? "*" : domain + "*";
    default:
      return domain.empty() ? "a" : domain;
  }
}

config::Route MakeRoute(Bytes& bytes) {
  config::Route route;
  config::RouteMatch& match = route.match;
  match.path.kind = static_cast<config::PathMatch::Kind>(bytes.Below(4));
  match.path.text = "/" + Text(bytes, kPathWords, 3);
  match.path.regex = Regex(bytes);
  match.path.ignore_case = bytes.Coin();
  if (bytes.Coin()) return route;
  if (bytes.Coin()) match.method = bytes.Coin() ? "GET" : "POST";
  match.grpc = bytes.Below(8) == 7;
  for (size_t n = bytes.Below(3); n > 0; --n) {
    match.headers.push_back({kNames[bytes.Below(std::size(kNames))], MakeStringMatch(bytes)});
  }
  for (size_t n = bytes.Below(3); n > 0; --n) {
    match.query.push_back({bytes.Coin() ? "q" : "a", MakeStringMatch(bytes)});
  }
  return route;
}

}  // namespace
}  // namespace countersign::router

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign;          // NOLINT: one function
  using namespace countersign::router;  // NOLINT: one function
  Bytes bytes(data, size);
  auto table = std::make_shared<config::RouteConfiguration>();
  for (size_t hosts = bytes.Below(6); hosts > 0; --hosts) {
    config::VirtualHost& host = table->virtual_hosts.emplace_back();
    for (size_t n = 1 + bytes.Below(8); n > 0; --n) host.domains.push_back(MakeDomain(bytes));
    for (size_t n = bytes.Below(20); n > 0; --n) host.routes.push_back(MakeRoute(bytes));
  }
  http::RequestHead head;
  const std::string authority = Text(bytes, kHostWords, bytes.Below(8) == 7 ? 255 : 5);
  const std::string path = bytes.Below(8) == 7 ? "" : "/" + Text(bytes, kPathWords, 6);
  head.method = bytes.Coin() ? "GET" : "POST";
  head.scheme = "http";
  head.authority = authority;
  head.path = path;
  for (size_t n = bytes.Below(4); n > 0; --n) {
    head.headers.Add(bytes.Coin() ? "x-a" : "cookie", Text(bytes, kWords, 2));
  }
  const char* type = kTypes[bytes.Below(std::size(kTypes))];
  if (*type != '\0') head.headers.Add(http::HeaderId::kContentType, type);

  const RouteTable tested(table);
  const RouteChoice choice = tested.Find(head);
  const RouteChoice expected = ReferenceFind(*table, head);
  if (choice.table != expected.table || choice.virtual_host != expected.virtual_host ||
      choice.route != expected.route) {
    std::abort();
  }
  return 0;
}
