#include "proxy/listener/http_detector.h"

#include <string>

#include "gtest/gtest.h"

namespace countersign::listener {
namespace {

TEST(HttpDetectorTest, RequestLinesAreHttp1) {
  EXPECT_EQ(DetectHttp("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("POST /x?y=z HTTP/1.0\r\n"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("OPTIONS * HTTP/1.1"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("CONNECT a.b:443 HTTP/1.1"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("GET http://a.b/c HTTP/1.1"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("M-SEARCH /x HTTP/1.1"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("\r\nGET / HTTP/1.1"), Detected::kHttp1);
}

TEST(HttpDetectorTest, WhatALenientServerReadsAsARequestIsOne) {
  EXPECT_EQ(DetectHttp("\r\n\r\n\r\n\r\nGET / HTTP/1.1"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("\nGET / HTTP/1.1"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("\n\r\n\nPOST / HTTP/1.0"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("get / HTTP/1.1"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("GET  /\t HTTP/1.1"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("GET  "), Detected::kNeedMore);
  EXPECT_EQ(DetectHttp("Get-It! / HTTP/1.1"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp(std::string(300, 'A') + " / HTTP/1.1"), Detected::kHttp1);
  EXPECT_EQ(DetectHttp("\r\n\r\n\n"), Detected::kNeedMore);
  EXPECT_EQ(DetectHttp(std::string(kMaxDetectedLine + 1, '\n')), Detected::kHttp1);
  // Words that begin no usual request line are not waited for.
  for (const char* word : {"hello", "get /", "Get / HTTP/1", "x"}) {
    EXPECT_EQ(DetectHttp(word), Detected::kOther) << word;
  }
}

TEST(HttpDetectorTest, ThePrefaceIsHttp2) {
  EXPECT_EQ(DetectHttp("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12"), Detected::kHttp2);
}

TEST(HttpDetectorTest, EveryByteOfTheBeginningIsNeeded) {
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (size_t n = 0; n < preface.size(); ++n) {
    EXPECT_EQ(DetectHttp(preface.substr(0, n)), Detected::kNeedMore) << n;
  }
  const std::string line = "DELETE /a/b HTTP/1.";
  for (size_t n = 0; n < line.size(); ++n) {
    EXPECT_EQ(DetectHttp(line.substr(0, n)), Detected::kNeedMore) << n;
  }
  EXPECT_EQ(DetectHttp(line), Detected::kHttp1);
}

TEST(HttpDetectorTest, OtherProtocolsOfLinesAreNotHttp) {
  EXPECT_EQ(DetectHttp("SET key value\r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp("GET key\r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp("get key\r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp("PING\r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp("EHLO a.b\r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp("USER me +iw\r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp("SSH-2.0-OpenSSH_9.2\r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp("*1\r\n$4\r\nPING\r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp("\x16\x03\x01"), Detected::kOther);
  EXPECT_EQ(DetectHttp(absl::string_view("\0\0\0\x2f", 4)), Detected::kOther);
  EXPECT_EQ(DetectHttp("OPTIONS rtsp://a/b RTSP/1.0\r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp("INVITE sip:a@b SIP/2.0\r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp("GET / \r\n"), Detected::kOther);
  EXPECT_EQ(DetectHttp(std::string(25, 'A')), Detected::kOther);
}

TEST(HttpDetectorTest, WhereHttpIsSpokenForSureOnlyThePrefaceMatters) {
  EXPECT_EQ(DetectPreface("P"), Detected::kNeedMore);
  EXPECT_EQ(DetectPreface("PO"), Detected::kHttp1);
  EXPECT_EQ(DetectPreface("\x16"), Detected::kHttp1);
  EXPECT_EQ(DetectPreface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Detected::kHttp2);
}

TEST(HttpDetectorTest, AnEndlessTargetIsLeftToTheCodec) {
  const std::string line = "GET /" + std::string(kMaxDetectedLine, 'a');
  EXPECT_EQ(DetectHttp(line), Detected::kHttp1);
  EXPECT_EQ(DetectHttp(line.substr(0, 4000)), Detected::kNeedMore);
}

TEST(HttpDetectorTest, AtTheEndWhatHasOnlyBegunIsDecidedByDeclaration) {
  for (const char* begun : {"", "GE", "PRI * HT"}) {
    EXPECT_EQ(Detect(begun, /*declared=*/false, /*end=*/false), Detected::kNeedMore) << begun;
    EXPECT_EQ(Detect(begun, /*declared=*/false, /*end=*/true), Detected::kOther) << begun;
    EXPECT_EQ(Detect(begun, /*declared=*/true, /*end=*/true), Detected::kHttp1) << begun;
  }
  EXPECT_EQ(Detect("PRI * HT", /*declared=*/true, /*end=*/false), Detected::kNeedMore);
  EXPECT_EQ(Detect("hello world", /*declared=*/true, /*end=*/false), Detected::kHttp1);
  EXPECT_EQ(Detect("hello world", /*declared=*/false, /*end=*/false), Detected::kOther);
}

}  // namespace
}  // namespace countersign::listener
