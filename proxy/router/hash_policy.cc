#include "proxy/router/hash_policy.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proxy/router/route_match.h"

namespace countersign::router {

uint64_t StableHash(absl::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : bytes) {
    hash ^= static_cast<uint8_t>(c);
    hash *= 0x100000001b3ULL;
  }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  hash *= 0xc4ceb9fe1a85ec53ULL;
  hash ^= hash >> 33;
  return hash;
}

absl::string_view FindCookie(const http::HeaderMap& headers, absl::string_view name) {
  for (const http::Field& field : headers.fields()) {
    if (field.id != http::HeaderId::kCookie) continue;
    absl::string_view rest = field.value;
    while (!rest.empty()) {
      const size_t end = rest.find(';');
      absl::string_view pair = rest.substr(0, end);
      while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
      const size_t equals = pair.find('=');
      if (equals != absl::string_view::npos && pair.substr(0, equals) == name) {
        absl::string_view value = pair.substr(equals + 1);
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
          value = value.substr(1, value.size() - 2);
        }
        return value;
      }
      if (end == absl::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
  }
  return {};
}

RequestHash HashRequest(const std::vector<config::HashPolicy>& policies,
                        const http::RequestHead& head, const net::IpAddress& source, Dice& dice) {
  using Kind = config::HashPolicy::Kind;
  RequestHash result;
  for (const config::HashPolicy& policy : policies) {
    std::optional<uint64_t> one;
    switch (policy.kind) {
      case Kind::kHeader:
        if (policy.name == ":authority") {
          if (!head.authority.empty()) one = StableHash(head.authority);
        } else if (policy.name == ":path") {
          if (!head.path.empty()) one = StableHash(head.path);
        } else if (policy.name == ":method") {
          one = StableHash(head.method);
        } else {
          for (const http::Field& field : head.headers.fields()) {
            if (field.name != policy.name) continue;
            const uint64_t value = StableHash(field.value);
            one = one.has_value() ? (*one << 1 | *one >> 63) ^ value : value;
          }
        }
        break;
      case Kind::kCookie: {
        const absl::string_view value = FindCookie(head.headers, policy.name);
        if (!value.empty()) {
          one = StableHash(value);
        } else if (policy.cookie_ttl.has_value() && result.new_cookie == nullptr) {
          // The client will send what it is given now, so it is hashed in that form.
          result.new_cookie = &policy;
          result.cookie_value = dice.Next();
          char text[16];
          for (int i = 0; i < 16; ++i) {
            text[i] = "0123456789abcdef"[(result.cookie_value >> (60 - 4 * i)) & 15];
          }
          one = StableHash({text, sizeof text});
        }
        break;
      }
      case Kind::kSourceIp:
        one = StableHash({reinterpret_cast<const char*>(source.data()), source.size()});
        break;
      case Kind::kQuery: {
        const absl::string_view value = FindQueryParameter(Target(head.path).query, policy.name);
        if (value.data() != nullptr) one = StableHash(value);
        break;
      }
    }
    if (!one.has_value()) continue;
    const uint64_t before = result.hash.value_or(0);
    result.hash = (before << 1 | before >> 63) ^ *one;
    if (policy.terminal) break;
  }
  return result;
}

void FormatSetCookie(const config::HashPolicy& policy, uint64_t value, std::string& out) {
  out.clear();
  absl::StrAppend(&out, policy.name, "=", absl::Hex(value, absl::kZeroPad16));
  if (policy.cookie_ttl.has_value() && policy.cookie_ttl->count() > 0) {
    absl::StrAppend(&out, "; Max-Age=", policy.cookie_ttl->count());
  }
  if (!policy.cookie_path.empty()) absl::StrAppend(&out, "; Path=", policy.cookie_path);
  absl::StrAppend(&out, "; HttpOnly");
}

}  // namespace countersign::router
