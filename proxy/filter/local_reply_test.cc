#include "proxy/filter/local_reply.h"

#include "gtest/gtest.h"

namespace countersign::filter {
namespace {

using http::HeaderId;

const router::LocalReply kReply{.status = 503,
                                .flags = router::kNoHealthyUpstream,
                                .reason = "no_healthy_endpoint",
                                .sentence = "service \"a/b\" has no endpoint; 100% gone"};

struct Answer {
  http::ResponseHead head;
  buffer::Buffer body;
};

void Ask(Answer& answer, absl::string_view header, absl::string_view value,
         absl::string_view method = "GET") {
  http::RequestHead request;
  request.method = method;
  if (!header.empty()) request.headers.Add(header, value);
  WriteLocalReply(kReply, request, "Sun, 06 Nov 1994 08:49:37 GMT", &answer.head, &answer.body);
}

TEST(LocalReplyTest, IsTextThatAPersonUnderstands) {
  Answer answer;
  Ask(answer, "", "");
  EXPECT_EQ(answer.head.status, 503);
  EXPECT_EQ(answer.head.headers.Get(HeaderId::kCountersignReason), "no_healthy_endpoint");
  EXPECT_EQ(answer.head.headers.Get(HeaderId::kCountersignFlags), "UH");
  EXPECT_EQ(answer.head.headers.Get(HeaderId::kDate), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(answer.body.ToString(), "service \"a/b\" has no endpoint; 100% gone\n");
  EXPECT_EQ(answer.head.headers.Get(HeaderId::kContentLength), std::to_string(answer.body.size()));
}

TEST(LocalReplyTest, IsJsonForWhoeverPrefersIt) {
  Answer answer;
  Ask(answer, "accept", "application/json, text/plain");
  EXPECT_EQ(answer.head.headers.Get(HeaderId::kContentType), "application/json");
  EXPECT_EQ(answer.body.ToString(),
            "{\"status\":503,\"reason\":\"no_healthy_endpoint\",\"flags\":\"UH\",\"message\":"
            "\"service \\\"a/b\\\" has no endpoint; 100% gone\"}\n");
  Answer text;
  Ask(text, "accept", "text/html, application/json");
  EXPECT_EQ(text.head.headers.Get(HeaderId::kContentType), "text/plain; charset=utf-8");
}

TEST(LocalReplyTest, IsTrailersOnlyForGrpc) {
  for (const char* type : {"application/grpc", "application/grpc+proto", "application/grpc;x=y"}) {
    Answer answer;
    Ask(answer, "content-type", type, "POST");
    EXPECT_EQ(answer.head.status, 200);
    EXPECT_EQ(answer.head.headers.Get(HeaderId::kGrpcStatus), "14");
    EXPECT_EQ(answer.head.headers.Get(HeaderId::kGrpcMessage),
              "service \"a/b\" has no endpoint; 100%25 gone");
    EXPECT_TRUE(answer.body.empty());
  }
  Answer web;
  Ask(web, "content-type", "application/grpc-web", "POST");
  EXPECT_EQ(web.head.status, 503);
}

TEST(LocalReplyTest, HeadHasNoBody) {
  Answer answer;
  Ask(answer, "", "", "HEAD");
  EXPECT_TRUE(answer.body.empty());
  EXPECT_NE(answer.head.headers.Get(HeaderId::kContentLength), "0");
}

TEST(LocalReplyTest, DatesAreMadeOnceASecond) {
  HttpDate date;
  const absl::Time time = absl::FromUnixSeconds(784111777);
  EXPECT_EQ(date.Get(time), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date.Get(time + absl::Milliseconds(999)), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date.Get(time + absl::Seconds(1)), "Sun, 06 Nov 1994 08:49:38 GMT");
}

}  // namespace
}  // namespace countersign::filter
