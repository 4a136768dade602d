#include "proxy/admin/request.h"

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::admin {
namespace {

using ::testing::HasSubstr;

// The status with which `bytes` are refused; 0 if they are a request, -1 if more must come.
int Refusal(absl::string_view bytes) {
  Request request;
  Response error;
  switch (ParseRequest(bytes, &request, &error)) {
    case ParseResult::kDone:
      return 0;
    case ParseResult::kIncomplete:
      return -1;
    case ParseResult::kError:
      return error.status;
  }
  return -2;
}

std::string WithHeader(const std::string& line) {
  return absl::StrCat("GET / HTTP/1.1\r\nHost: localhost\r\n", line, "\r\n\r\n");
}

TEST(RequestTest, ReadsPathQueryAndHost) {
  Request request;
  Response error;
  ASSERT_EQ(ParseRequest("POST /logging?level=debug&x HTTP/1.1\r\nHOST: LocalHost:15000\r\n"
                         "Content-Length: 0\r\n\r\n",
                         &request, &error),
            ParseResult::kDone);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/logging");
  EXPECT_EQ(request.query["level"], "debug");
  EXPECT_EQ(request.query.count("x"), 1u);
  EXPECT_EQ(request.host, "localhost");
}

TEST(RequestTest, HostMayBeABracketedAddress) {
  Request request;
  Response error;
  ASSERT_EQ(ParseRequest("GET / HTTP/1.1\r\nHost: [::1]:15000\r\n\r\n", &request, &error),
            ParseResult::kDone);
  EXPECT_EQ(request.host, "[::1]");
}

TEST(RequestTest, EveryPrefixOfARequestIsIncomplete) {
  const std::string whole = WithHeader("accept: */*");
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(Refusal(whole.substr(0, i)), -1) << i;
  }
  EXPECT_EQ(Refusal(whole), 0);
}

TEST(RequestTest, RefusesWhatIsNotPlainHttp) {
  EXPECT_EQ(Refusal("\x16\x03\x01\x02"), 400);  // a TLS ClientHello
  EXPECT_EQ(Refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(Refusal("GET /\r\n\r\n"), 400);
  EXPECT_EQ(Refusal("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(Refusal("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(Refusal("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
  EXPECT_EQ(Refusal("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
}

TEST(RequestTest, RefusesMalformedHeaders) {
  EXPECT_EQ(Refusal("GET / HTTP/1.1\r\n\r\n"), 400);  // no Host
  EXPECT_EQ(Refusal(WithHeader("Host: other")), 400);
  EXPECT_EQ(Refusal(WithHeader("no colon")), 400);
  EXPECT_EQ(Refusal(WithHeader("name : value")), 400);
  EXPECT_EQ(Refusal(WithHeader(" folded")), 400);
  EXPECT_EQ(Refusal(WithHeader(std::string("a: b\0c", 6))), 400);
  EXPECT_EQ(Refusal(WithHeader("a: b\rc: d")), 400);
  EXPECT_EQ(Refusal("GET / HTTP/1.1\nHost: a\n\r\n\r\n"), 400);
  EXPECT_EQ(Refusal("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"), 400);
  EXPECT_EQ(Refusal("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), 400);
}

TEST(RequestTest, RefusesBodies) {
  EXPECT_EQ(Refusal(WithHeader("Content-Length: 5")), 413);
  EXPECT_EQ(Refusal(WithHeader("Content-Length: +0")), 413);
  EXPECT_EQ(Refusal(WithHeader("Transfer-Encoding: chunked")), 413);
}

TEST(RequestTest, RefusesWhatIsTooLarge) {
  EXPECT_EQ(Refusal(std::string(kMaxRequestBytes, 'A')), 431);
  EXPECT_EQ(Refusal(WithHeader(absl::StrCat("a: ", std::string(9000, 'b')))), 431);
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 200; ++i) {
    absl::StrAppend(&many, "h: v\r\n");
  }
  EXPECT_EQ(Refusal(many + "\r\n"), 431);
}

TEST(RequestTest, GarbageNeverHurts) {
  std::mt19937 random(7);
  const std::string seed = WithHeader("accept: */*");
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = seed;
    for (int n = random() % 8; n >= 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    bytes.resize(random() % (bytes.size() + 1));
    Refusal(bytes);
  }
}

TEST(RequestTest, ResponsesCannotBeCached) {
  const std::string bytes = SerializeResponse(Response::Text(200, "hi\n"), false);
  EXPECT_THAT(bytes, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(bytes, HasSubstr("content-length: 3\r\n"));
  EXPECT_THAT(bytes, HasSubstr("cache-control: no-store\r\n"));
  EXPECT_THAT(bytes, HasSubstr("\r\n\r\nhi\n"));
  EXPECT_THAT(SerializeResponse(Response::Text(200, "hi\n"), true), testing::EndsWith("\r\n\r\n"));
}

}  // namespace
}  // namespace countersign::admin
