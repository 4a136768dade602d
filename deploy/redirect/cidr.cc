#include "deploy/redirect/cidr.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace countersign::redirect {
namespace {

// Whether the first `bits` bits are the same.
bool SamePrefix(const uint8_t* a, const uint8_t* b, int bits) {
  const int whole = bits / 8;
  if (std::memcmp(a, b, whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const uint8_t mask = 0xff << (8 - bits % 8);
  return (a[whole] & mask) == (b[whole] & mask);
}

// SimpleAtoi takes signs and spaces, which neither a port nor a prefix length has.
bool ParseDigits(absl::string_view text, uint32_t* number) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
         absl::SimpleAtoi(text, number);
}

bool ParsePort(absl::string_view text, uint16_t* port) {
  uint32_t number = 0;
  if (!ParseDigits(text, &number) || number == 0 || number > 65535) return false;
  *port = number;
  return true;
}

}  // namespace

absl::StatusOr<Cidr> Cidr::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  const absl::StatusOr<net::IpAddress> ip = net::IpAddress::Parse(text.substr(0, slash));
  if (!ip.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        ip.status().message(), "; write a block as 10.0.0.0/8 or fd00::/8, a host as 10.1.2.3"));
  }
  const int longest = ip->is_v4() ? 32 : 128;
  int prefix = longest;
  if (slash != absl::string_view::npos) {
    uint32_t bits = 0;
    if (!ParseDigits(text.substr(slash + 1), &bits) || bits > static_cast<uint32_t>(longest)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "'", text, "' has a prefix length outside 0 to ", longest, "; write it as 10.0.0.0/8"));
    }
    prefix = bits;
  }
  for (int bit = prefix; bit < longest; ++bit) {
    if (ip->data()[bit / 8] & (0x80 >> (bit % 8))) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", text, "' has address bits set beyond its prefix; write ",
                       ip->ToString(), "/", longest, " for this host alone, or clear them"));
    }
  }
  return Cidr(*ip, prefix);
}

bool Cidr::Contains(const Cidr& other) const {
  return is_v4() == other.is_v4() && prefix_ <= other.prefix_ &&
         SamePrefix(ip_.data(), other.ip_.data(), prefix_);
}

std::string Cidr::ToString() const {
  const bool host = prefix_ == (is_v4() ? 32 : 128);
  return host ? ip_.ToString() : absl::StrCat(ip_.ToString(), "/", prefix_);
}

bool Cidr::operator<(const Cidr& other) const {
  if (is_v4() != other.is_v4()) return is_v4();
  const int order = std::memcmp(ip_.data(), other.ip_.data(), ip_.size());
  return order != 0 ? order < 0 : prefix_ < other.prefix_;
}

std::vector<Cidr> Reduce(std::vector<Cidr> cidrs) {
  std::sort(cidrs.begin(), cidrs.end());
  std::vector<Cidr> reduced;
  for (const Cidr& cidr : cidrs) {
    // A containing block sorts before what it contains.
    if (reduced.empty() || !reduced.back().Contains(cidr)) reduced.push_back(cidr);
  }
  return reduced;
}

absl::StatusOr<PortRange> PortRange::Parse(absl::string_view text) {
  const size_t dash = text.find('-');
  PortRange range;
  if (!ParsePort(text.substr(0, dash), &range.first) ||
      !ParsePort(dash == absl::string_view::npos ? text : text.substr(dash + 1), &range.last) ||
      range.last < range.first) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' is not a port; write a number from 1 to 65535, or a range as 8000-8100"));
  }
  return range;
}

std::vector<PortRange> Reduce(std::vector<PortRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const PortRange& a, const PortRange& b) {
    return std::tie(a.first, a.last) < std::tie(b.first, b.last);
  });
  std::vector<PortRange> reduced;
  for (const PortRange& range : ranges) {
    if (!reduced.empty() && range.first <= reduced.back().last + 1) {
      reduced.back().last = std::max(reduced.back().last, range.last);
    } else {
      reduced.push_back(range);
    }
  }
  return reduced;
}

}  // namespace countersign::redirect
