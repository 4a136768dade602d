#include "deploy/redirect/options.h"

#include <gtest/gtest.h>

#include <functional>

namespace countersign::redirect {
namespace {

absl::Status Refusal(const std::function<void(RawOptions*)>& change) {
  RawOptions raw;
  change(&raw);
  return ParseOptions(raw).status();
}

TEST(OptionsTest, TheDefaultsAreTheProxysPorts) {
  const absl::StatusOr<Options> options = ParseOptions({});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->proxy_uid, 1337u);
  EXPECT_EQ(options->outbound_port, 15001);
  EXPECT_EQ(options->inbound_port, 15006);
  EXPECT_EQ(options->proxy_ports, (std::vector<PortRange>{{15008, 15008}, {15020, 15021}}));
}

TEST(OptionsTest, RootIsRefusedAsTheProxyAndTheReasonIsGiven) {
  const absl::Status status = Refusal([](RawOptions* raw) { raw->proxy_uid = "0"; });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("bypass the mesh"), std::string::npos) << status;
}

TEST(OptionsTest, EveryRefusalNamesItsFlag) {
  const std::vector<std::pair<std::string, std::function<void(RawOptions*)>>> cases = {
      {"--proxy-uid", [](RawOptions* raw) { raw->proxy_uid = "envoy"; }},
      {"--proxy-gid", [](RawOptions* raw) { raw->proxy_gid = "0"; }},
      {"--outbound-port", [](RawOptions* raw) { raw->outbound_port = "0"; }},
      {"--outbound-port", [](RawOptions* raw) { raw->outbound_port = "1-2"; }},
      {"--inbound-port", [](RawOptions* raw) { raw->inbound_port = "70000"; }},
      {"--inbound-port", [](RawOptions* raw) { raw->inbound_port = "15001"; }},
      {"--include-outbound-cidr",
       [](RawOptions* raw) { raw->include_outbound_cidrs = {"10.0.0.1/8"}; }},
      {"--include-outbound-port", [](RawOptions* raw) { raw->include_outbound_ports = {"http"}; }},
      {"--exclude-outbound-cidr", [](RawOptions* raw) { raw->exclude_outbound_cidrs = {"x"}; }},
      {"--exclude-outbound-port", [](RawOptions* raw) { raw->exclude_outbound_ports = {"9-1"}; }},
      {"--exclude-outbound-uid", [](RawOptions* raw) { raw->exclude_outbound_uids = {"root"}; }},
      {"--include-inbound-port", [](RawOptions* raw) { raw->include_inbound_ports = {""}; }},
      {"--exclude-inbound-port", [](RawOptions* raw) { raw->exclude_inbound_ports = {"-1"}; }},
      {"--exclude-inbound-cidr", [](RawOptions* raw) { raw->exclude_inbound_cidrs = {"::/200"}; }},
      {"--proxy-port", [](RawOptions* raw) { raw->proxy_ports = {"15006"}; }},
  };
  for (const auto& [flag, change] : cases) {
    const absl::Status status = Refusal(change);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << flag;
    EXPECT_NE(status.message().find(flag), std::string::npos) << status;
  }
}

TEST(OptionsTest, ACapturePortIsNeverLeftUncaptured) {
  EXPECT_FALSE(Refusal([](RawOptions* raw) { raw->exclude_inbound_ports = {"15000-15010"}; }).ok());
}

TEST(OptionsTest, Ipv4BlocksAloneWarnThatIpv6EscapesCapture) {
  RawOptions raw;
  raw.include_outbound_cidrs = {"10.0.0.0/8"};
  const std::vector<std::string> warnings = Warnings(*ParseOptions(raw));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("IPv6 leaves the pod uncaptured"), std::string::npos) << warnings[0];
  raw.include_outbound_cidrs = {"10.0.0.0/8", "fd00::/8"};
  EXPECT_TRUE(Warnings(*ParseOptions(raw)).empty());
}

}  // namespace
}  // namespace countersign::redirect
