#include "deploy/redirect/cidr.h"

#include <gtest/gtest.h>

namespace countersign::redirect {
namespace {

std::string Reduced(std::initializer_list<const char*> texts) {
  std::vector<Cidr> cidrs;
  for (const char* text : texts) cidrs.push_back(*Cidr::Parse(text));
  std::string joined;
  for (const Cidr& cidr : Reduce(cidrs)) joined += cidr.ToString() + " ";
  return joined;
}

TEST(CidrTest, PrintsTheShortestForm) {
  EXPECT_EQ(Cidr::Parse("10.0.0.0/8")->ToString(), "10.0.0.0/8");
  EXPECT_EQ(Cidr::Parse("10.1.2.3")->ToString(), "10.1.2.3");
  EXPECT_EQ(Cidr::Parse("10.1.2.3/32")->ToString(), "10.1.2.3");
  EXPECT_EQ(Cidr::Parse("FD00:0::/8")->ToString(), "fd00::/8");
  EXPECT_EQ(Cidr::Parse("0.0.0.0/0")->ToString(), "0.0.0.0/0");
  EXPECT_EQ(Cidr::Parse("::/0")->ToString(), "::/0");
}

TEST(CidrTest, RefusesWhatIsNotABlockAndSaysWhatToWrite) {
  for (const char* text :
       {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "fd00::/129", "ten/8",
        "10.0.0.0/8/8", "10.0.0.0/ 8", "fe80::1%eth0/64"}) {
    const absl::StatusOr<Cidr> cidr = Cidr::Parse(text);
    ASSERT_FALSE(cidr.ok()) << text;
    EXPECT_NE(cidr.status().message().find("write"), std::string::npos) << cidr.status();
  }
}

TEST(CidrTest, RefusesHostBitsBecauseTheyAreMoreOftenASlip) {
  const absl::StatusOr<Cidr> cidr = Cidr::Parse("10.1.2.3/8");
  ASSERT_FALSE(cidr.ok());
  EXPECT_NE(cidr.status().message().find("10.1.2.3/32"), std::string::npos);
}

TEST(CidrTest, ReducesOverlapsWhichNftablesWouldRefuse) {
  EXPECT_EQ(Reduced({"10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16"}),
            "10.0.0.0/8 192.168.0.0/16 ");
  EXPECT_EQ(Reduced({"fd00::1", "fd00::/8", "10.0.0.1"}), "10.0.0.1 fd00::/8 ");
  EXPECT_EQ(Reduced({"0.0.0.0/0", "10.0.0.0/8", "11.0.0.0/8"}), "0.0.0.0/0 ");
}

TEST(PortRangeTest, ParsesOnePortAndARange) {
  EXPECT_EQ(*PortRange::Parse("80"), (PortRange{80, 80}));
  EXPECT_EQ(*PortRange::Parse("8000-8100"), (PortRange{8000, 8100}));
}

TEST(PortRangeTest, RefusesWhatIsNotAPort) {
  for (const char* text :
       {"", "0", "65536", "80-", "-80", "90-80", "http", "+80", " 80", "80-90-95"}) {
    EXPECT_FALSE(PortRange::Parse(text).ok()) << text;
  }
}

TEST(PortRangeTest, MergesOverlappingAndAdjacentRanges) {
  const std::vector<PortRange> merged = Reduce(std::vector<PortRange>{
      {443, 443}, {81, 90}, {80, 80}, {85, 100}, {65535, 65535}, {65534, 65534}});
  EXPECT_EQ(merged, (std::vector<PortRange>{{80, 100}, {443, 443}, {65534, 65535}}));
}

}  // namespace
}  // namespace countersign::redirect
