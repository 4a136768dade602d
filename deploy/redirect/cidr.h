// CIDR blocks and port ranges of the capture rules, reduced to the fewest that mean the same.
#ifndef COUNTERSIGN_DEPLOY_REDIRECT_CIDR_H_
#define COUNTERSIGN_DEPLOY_REDIRECT_CIDR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "api/net/address.h"

namespace countersign::redirect {

// An IP block. A value; the address has no bits set beyond the prefix.
class Cidr {
 public:
  // `10.0.0.0/8`, `fd00::/8`, or a bare address, which is a block of one. Bits beyond the prefix
  // are refused: `10.1.2.3/8` is more often a slip than a wish.
  static absl::StatusOr<Cidr> Parse(absl::string_view text);

  bool is_v4() const { return ip_.is_v4(); }
  bool Contains(const Cidr& other) const;
  std::string ToString() const;

  bool operator==(const Cidr&) const = default;
  bool operator<(const Cidr& other) const;

 private:
  Cidr(net::IpAddress ip, int prefix) : ip_(ip), prefix_(prefix) {}

  net::IpAddress ip_;
  int prefix_;
};

// Sorted, without duplicates and without blocks that lie within others: nftables refuses a set with
// overlapping intervals.
std::vector<Cidr> Reduce(std::vector<Cidr> cidrs);

// First and last port, both included.
struct PortRange {
  uint16_t first;
  uint16_t last;

  // `80` or `8000-8100`.
  static absl::StatusOr<PortRange> Parse(absl::string_view text);

  bool operator==(const PortRange&) const = default;
};

// Sorted; overlapping and adjacent ranges become one.
std::vector<PortRange> Reduce(std::vector<PortRange> ranges);

}  // namespace countersign::redirect

#endif  // COUNTERSIGN_DEPLOY_REDIRECT_CIDR_H_
