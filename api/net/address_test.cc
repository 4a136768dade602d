#include "api/net/address.h"

#include <gtest/gtest.h>

namespace countersign::net {
namespace {

TEST(AddressTest, ParsesAndPrintsBothFamilies) {
  EXPECT_EQ(Address::Parse("10.0.0.1:80")->ToString(), "10.0.0.1:80");
  EXPECT_EQ(Address::Parse("[2001:DB8::1]:443")->ToString(), "[2001:db8::1]:443");
}

TEST(AddressTest, MappedIpv6IsTheIpv4AddressItMeans) {
  EXPECT_EQ(*Address::Parse("[::ffff:10.0.0.1]:80"), *Address::Parse("10.0.0.1:80"));
}

TEST(AddressTest, RefusesWhatIsNotAnAddress) {
  for (const char* text :
       {"", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:+1", "::1:80",
        "[10.0.0.1]:80", "[fe80::1%eth0]:80", "10.0.0:80", "a.b:1", "[::1:80"}) {
    EXPECT_FALSE(Address::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(IpAddress::Parse(absl::string_view("10.0.0.1\0", 9)).ok());
}

TEST(AddressTest, SurvivesTheRoundTripThroughASockaddr) {
  for (const char* text : {"10.1.2.3:15001", "[2001:db8::5]:1"}) {
    const Address address = *Address::Parse(text);
    sockaddr_storage storage;
    const socklen_t length = address.ToSockaddr(&storage);
    EXPECT_EQ(*Address::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), length), address);
  }
}

TEST(IpAddressTest, KnowsItsScope) {
  EXPECT_TRUE(IpAddress::Parse("127.8.9.1")->IsLoopback());
  EXPECT_TRUE(IpAddress::Parse("::1")->IsLoopback());
  EXPECT_TRUE(IpAddress::Parse("::")->IsUnspecified());
  EXPECT_TRUE(IpAddress::Parse("224.0.0.1")->IsMulticast());
  EXPECT_TRUE(IpAddress::Parse("fe80::1")->IsLinkLocal());
  EXPECT_FALSE(IpAddress::Parse("10.0.0.1")->IsLoopback());
}

}  // namespace
}  // namespace countersign::net
