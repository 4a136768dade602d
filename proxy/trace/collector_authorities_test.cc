#include "proxy/trace/collector_authorities.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include "api/spiffe/testing/test_authority.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::trace {
namespace {

using spiffe::testing::TestAuthority;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Write(const std::string& content) {
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/authorities.pem";
  std::ofstream(path) << content;
  return path;
}

std::string Error(const std::string& content) {
  return std::string(ReadAuthorities(Write(content)).status().message());
}

TEST(CollectorAuthoritiesTest, CertificatesAreReadWithWhatStandsAroundThem) {
  const std::string pem = "# ours\n" + TestAuthority("one.example").root_pem() + "\n# theirs\n" +
                          TestAuthority("two.example").root_pem() + "\n";
  const absl::StatusOr<std::string> read = ReadAuthorities(Write(pem));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, pem);
}

TEST(CollectorAuthoritiesTest, WhatIsNoAuthoritysFileIsRefusedWithTheFlagThatNamesIt) {
  EXPECT_THAT(std::string(ReadAuthorities("/nonexistent/ca.pem").status().message()),
              AllOf(HasSubstr("/nonexistent/ca.pem: No such file"), HasSubstr("--otlp-ca-file")));
  const std::string good = TestAuthority("one.example").root_pem();
  for (const std::string& empty : {std::string(), std::string("no PEM at all\n")}) {
    EXPECT_THAT(Error(empty), AllOf(HasSubstr("no certificate"), HasSubstr("--otlp-ca-file")));
  }
  std::string damaged = good;
  damaged[damaged.size() / 2] = '!';
  const std::string cut = good.substr(0, good.size() - 40);
  const std::string other = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  for (const std::string& bad : {damaged, cut, other, good + damaged}) {
    EXPECT_THAT(Error(bad), AllOf(HasSubstr("damaged"), HasSubstr("--otlp-ca-file"))) << bad;
  }
}

}  // namespace
}  // namespace countersign::trace
