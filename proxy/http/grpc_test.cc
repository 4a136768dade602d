#include "proxy/http/grpc.h"

#include <string>

#include "gtest/gtest.h"

namespace countersign::http {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

bool TypeIsGrpc(absl::string_view type) {
  HeaderMap headers;
  headers.Add(HeaderId::kContentType, type);
  return IsGrpc(headers);
}

TEST(GrpcTest, IsToldByItsContentType) {
  EXPECT_TRUE(TypeIsGrpc("application/grpc"));
  EXPECT_TRUE(TypeIsGrpc("application/grpc+proto"));
  EXPECT_TRUE(TypeIsGrpc("Application/gRPC; charset=x"));
  EXPECT_FALSE(TypeIsGrpc("application/grpc-web"));
  EXPECT_FALSE(TypeIsGrpc("application/json"));
  EXPECT_FALSE(IsGrpc(HeaderMap()));
}

TEST(GrpcTest, TimeoutsAreOneToEightDigitsAndAUnit) {
  EXPECT_EQ(ParseGrpcTimeout("100m"), milliseconds(100));
  EXPECT_EQ(ParseGrpcTimeout("1H"), hours(1));
  EXPECT_EQ(ParseGrpcTimeout("2M"), seconds(120));
  EXPECT_EQ(ParseGrpcTimeout("3S"), seconds(3));
  EXPECT_EQ(ParseGrpcTimeout("4u"), nanoseconds(4000));
  EXPECT_EQ(ParseGrpcTimeout("5n"), nanoseconds(5));
  EXPECT_EQ(ParseGrpcTimeout("0n"), nanoseconds(0));
  EXPECT_GT(ParseGrpcTimeout("99999999H").value(), hours(24 * 365 * 90));
  for (const char* bad : {"", "m", "5", "123456789m", "-1m", "1.5S", "1s", " 1S", "1S ", "0x1S"}) {
    EXPECT_FALSE(ParseGrpcTimeout(bad).has_value()) << bad;
  }
}

TEST(GrpcTest, TimeoutsAreWrittenSoThatTheyReadTheSame) {
  EXPECT_EQ(FormatGrpcTimeout(milliseconds(50)), "50000000n");
  EXPECT_EQ(FormatGrpcTimeout(seconds(1)), "1000000u");
  EXPECT_EQ(FormatGrpcTimeout(nanoseconds(-5)), "1n");
  EXPECT_EQ(FormatGrpcTimeout(hours(100'000)), "6000000M");
  for (const nanoseconds timeout :
       {nanoseconds(7), nanoseconds(seconds(9)), nanoseconds(hours(30))}) {
    EXPECT_EQ(ParseGrpcTimeout(FormatGrpcTimeout(timeout)), timeout);
  }
}

TEST(GrpcTest, StatusesAreMappedAsTheSpecificationSays) {
  EXPECT_EQ(GrpcStatusOfHttp(400), GrpcStatus::kInternal);
  EXPECT_EQ(GrpcStatusOfHttp(401), GrpcStatus::kUnauthenticated);
  EXPECT_EQ(GrpcStatusOfHttp(403), GrpcStatus::kPermissionDenied);
  EXPECT_EQ(GrpcStatusOfHttp(404), GrpcStatus::kUnimplemented);
  EXPECT_EQ(GrpcStatusOfHttp(503), GrpcStatus::kUnavailable);
  EXPECT_EQ(GrpcStatusOfHttp(500), GrpcStatus::kUnknown);
  EXPECT_EQ(HttpStatusOfGrpc(GrpcStatus::kOk), 200);
  EXPECT_EQ(HttpStatusOfGrpc(GrpcStatus::kUnavailable), 503);
  EXPECT_EQ(ParseGrpcStatus("14"), GrpcStatus::kUnavailable);
  EXPECT_FALSE(ParseGrpcStatus("17").has_value());
  EXPECT_FALSE(ParseGrpcStatus("014").has_value());
  EXPECT_EQ(GrpcStatusNumber(GrpcStatus::kUnauthenticated), "16");
}

TEST(GrpcTest, MessagesSurviveTheirEscapes) {
  EXPECT_EQ(EncodeGrpcMessage("100% \xc3\xa4\n"), "100%25 %C3%A4%0A");
  EXPECT_EQ(DecodeGrpcMessage("100%25 %C3%A4%0A"), "100% \xc3\xa4\n");
  EXPECT_EQ(DecodeGrpcMessage("50% off %zz %4"), "50% off %zz %4");
}

}  // namespace
}  // namespace countersign::http
