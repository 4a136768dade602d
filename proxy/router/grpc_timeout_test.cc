#include "proxy/router/grpc_timeout.h"

#include "gtest/gtest.h"
#include "proxy/router/grpc_status.h"

namespace countersign::router {
namespace {

using std::chrono::milliseconds;

TEST(GrpcTimeoutTest, OneToEightDigitsAndAUnitAreATimeout) {
  EXPECT_EQ(ParseGrpcTimeout("100m"), milliseconds(100));
  EXPECT_EQ(ParseGrpcTimeout("2S"), milliseconds(2000));
  EXPECT_EQ(ParseGrpcTimeout("1M"), milliseconds(60'000));
  EXPECT_EQ(ParseGrpcTimeout("1H"), milliseconds(3'600'000));
  EXPECT_EQ(ParseGrpcTimeout("1500u"), milliseconds(2));
  EXPECT_EQ(ParseGrpcTimeout("1n"), milliseconds(1));
  EXPECT_EQ(ParseGrpcTimeout("0m"), milliseconds(0));
  EXPECT_EQ(ParseGrpcTimeout("99999999H"), std::chrono::hours(99'999'999));
  for (const char* wrong : {"", "m", "1", "1s", "-1m", "+1m", " 1m", "1 m", "123456789m", "1.5S"}) {
    EXPECT_FALSE(ParseGrpcTimeout(wrong)) << wrong;
  }
}

TEST(GrpcTimeoutTest, ATimeoutIsWrittenInEightDigitsAndNeverLonger) {
  char text[kGrpcTimeoutBytes];
  EXPECT_EQ(FormatGrpcTimeout(milliseconds(0), text), "0m");
  EXPECT_EQ(FormatGrpcTimeout(milliseconds(99'999'999), text), "99999999m");
  EXPECT_EQ(FormatGrpcTimeout(milliseconds(100'000'999), text), "100000S");
  EXPECT_EQ(FormatGrpcTimeout(std::chrono::hours(99'999'999), text), "99999999M");
  EXPECT_EQ(FormatGrpcTimeout(milliseconds(-5), text), "0m");
}

TEST(GrpcStatusTest, WhatIsNoStatusIsUnknown) {
  http::HeaderMap headers;
  EXPECT_FALSE(GrpcStatusOf(headers));
  for (const auto& [text, status] :
       {std::pair{"0", 0}, {"14", 14}, {"17", 2}, {"x", 2}, {"", 2}, {"100", 2}}) {
    headers.Set("grpc-status", text);
    EXPECT_EQ(GrpcStatusOf(headers), status) << text;
  }
}

}  // namespace
}  // namespace countersign::router
