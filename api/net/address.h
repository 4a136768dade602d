// IP addresses and transport addresses: the vocabulary in which both the control plane and the
// proxy name workloads and services. Values: cheap to copy, hashable, no allocation, no system
// call.
#ifndef COUNTERSIGN_API_NET_ADDRESS_H_
#define COUNTERSIGN_API_NET_ADDRESS_H_

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::net {

// An IPv4 or IPv6 address. IPv4-mapped IPv6 addresses (RFC 4291, section 2.5.5.2) are held as the
// IPv4 address that they mean, so that one peer has one name whatever socket family it was seen
// through. The default value is 0.0.0.0.
class IpAddress {
 public:
  IpAddress() = default;

  // Text form: dotted quad or RFC 4291 IPv6, without brackets. Scoped literals (`fe80::1%eth0`) are
  // refused.
  static absl::StatusOr<IpAddress> Parse(absl::string_view text);
  // `bytes` in network order.
  static IpAddress V4(const std::array<uint8_t, 4>& bytes);
  static IpAddress V6(const std::array<uint8_t, 16>& bytes);

  bool is_v4() const { return v4_; }
  // 4 or 16 bytes in network order.
  const uint8_t* data() const { return bytes_.data(); }
  size_t size() const { return v4_ ? 4 : 16; }

  bool IsLoopback() const;
  bool IsUnspecified() const;
  bool IsMulticast() const;
  bool IsLinkLocal() const;

  std::string ToString() const;  // RFC 5952

  bool operator==(const IpAddress&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const IpAddress& a) {
    return H::combine(std::move(h), a.v4_, a.bytes_);
  }

 private:
  std::array<uint8_t, 16> bytes_{};
  bool v4_ = true;
};

// An IP address with a port (host byte order).
class Address {
 public:
  Address() = default;
  Address(IpAddress ip, uint16_t port) : ip_(ip), port_(port) {}

  // `10.0.0.1:80` or `[2001:db8::1]:80`. The port is required, decimal, 0 to 65535.
  static absl::StatusOr<Address> Parse(absl::string_view text);
  // AF_INET and AF_INET6 only; anything else is InvalidArgument.
  static absl::StatusOr<Address> FromSockaddr(const sockaddr* address, socklen_t length);

  const IpAddress& ip() const { return ip_; }
  uint16_t port() const { return port_; }
  int family() const { return ip_.is_v4() ? AF_INET : AF_INET6; }

  // Fills `out` and returns its length for bind(2) or connect(2).
  socklen_t ToSockaddr(sockaddr_storage* out) const;
  std::string ToString() const;

  bool operator==(const Address&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Address& a) {
    return H::combine(std::move(h), a.ip_, a.port_);
  }

 private:
  IpAddress ip_;
  uint16_t port_ = 0;
};

}  // namespace countersign::net

#endif  // COUNTERSIGN_API_NET_ADDRESS_H_
