#include "proxy/trace/tracer.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/trace/trace_context.h"

namespace countersign::trace {
namespace {

using http::HeaderId;
using ::testing::Contains;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StrEq;

constexpr char kSampled[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr char kUnsampled[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

class Collected final : public SpanSink {
 public:
  void Submit(Span span) override { spans.push_back(std::move(span)); }
  std::vector<Span> spans;
};

std::string Value(const http::HeaderMap& headers, HeaderId id) {
  return std::string(headers.Get(id));
}

TEST(TracerTest, WithoutACollectorHeadersPassAsTheyCame) {
  Tracer tracer(nullptr);
  http::HeaderMap headers;
  headers.Add(HeaderId::kTraceparent, kSampled);
  headers.Add(HeaderId::kTracestate, "BROKEN");
  const RequestTrace trace = tracer.Begin(headers, 1'000'000);
  EXPECT_TRUE(trace.context.valid());  // for the access log
  EXPECT_FALSE(trace.reported);
  EXPECT_EQ(Value(headers, HeaderId::kTraceparent), kSampled);
  EXPECT_EQ(Value(headers, HeaderId::kTracestate), "BROKEN");
  http::HeaderMap none;
  tracer.Begin(none, 1'000'000);
  EXPECT_TRUE(none.empty());
}

TEST(TracerTest, ASampledTraceGetsASpanOfOurs) {
  Collected sink;
  Tracer tracer(&sink);
  http::HeaderMap headers;
  headers.Add(HeaderId::kTraceparent, kSampled);
  headers.Add(HeaderId::kTracestate, "rojo=1");
  const RequestTrace trace = tracer.Begin(headers, 0);
  EXPECT_TRUE(trace.reported);
  EXPECT_EQ(trace.parent_span_id[1], 0xf0);
  EXPECT_THAT(Value(headers, HeaderId::kTraceparent),
              MatchesRegex("00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01"));
  EXPECT_NE(Value(headers, HeaderId::kTraceparent), kSampled);
  EXPECT_EQ(Value(headers, HeaderId::kTracestate), "rojo=1");
  EXPECT_FALSE(headers.Has(HeaderId::kB3));
}

TEST(TracerTest, ADecisionAgainstItIsKept) {
  Collected sink;
  Tracer tracer(&sink);
  http::HeaderMap headers;
  headers.Add(HeaderId::kTraceparent, kUnsampled);
  EXPECT_FALSE(tracer.Begin(headers, 1'000'000).reported);
  EXPECT_EQ(Value(headers, HeaderId::kTraceparent), kUnsampled);
  http::HeaderMap b3;
  b3.Add(HeaderId::kB3, "0");
  EXPECT_FALSE(tracer.Begin(b3, 1'000'000).reported);
  EXPECT_EQ(b3.size(), 1u);
}

TEST(TracerTest, WhoeverBringsNoDecisionIsSampledAsConfigured) {
  Collected sink;
  Tracer tracer(&sink);
  int reported = 0;
  for (int i = 0; i < 10'000; ++i) {
    http::HeaderMap headers;
    const RequestTrace trace = tracer.Begin(headers, 250'000);
    reported += trace.reported ? 1 : 0;
    // What was decided goes along, either way.
    EXPECT_EQ(Value(headers, HeaderId::kTraceparent).substr(53), trace.reported ? "01" : "00");
    EXPECT_EQ(trace.parent_span_id, (std::array<uint8_t, 8>{}));
  }
  EXPECT_NEAR(reported, 2500, 250);
  http::HeaderMap untouched;
  EXPECT_FALSE(tracer.Begin(untouched, 0).reported);
  EXPECT_TRUE(untouched.empty());
}

TEST(TracerTest, B3GoesOutAsItCameAndAsTraceparent) {
  Collected sink;
  Tracer tracer(&sink);
  http::HeaderMap single;
  single.Add(HeaderId::kB3, "64fe8b2a57d3eff7-e457b5a2e4d86bd1-d");
  ASSERT_TRUE(tracer.Begin(single, 0).reported);
  EXPECT_THAT(Value(single, HeaderId::kB3),
              MatchesRegex("64fe8b2a57d3eff7-[0-9a-f]{16}-d-e457b5a2e4d86bd1"));
  EXPECT_THAT(Value(single, HeaderId::kTraceparent),
              MatchesRegex("00-000000000000000064fe8b2a57d3eff7-[0-9a-f]{16}-01"));
  http::HeaderMap multi;
  multi.Add(HeaderId::kB3TraceId, "80f198ee56343ba864fe8b2a57d3eff7");
  multi.Add(HeaderId::kB3SpanId, "e457b5a2e4d86bd1");
  multi.Add(HeaderId::kB3ParentSpanId, "05e3ac9a4f6e3b90");
  multi.Add(HeaderId::kB3Sampled, "1");
  ASSERT_TRUE(tracer.Begin(multi, 0).reported);
  EXPECT_EQ(Value(multi, HeaderId::kB3TraceId), "80f198ee56343ba864fe8b2a57d3eff7");
  EXPECT_EQ(Value(multi, HeaderId::kB3ParentSpanId), "e457b5a2e4d86bd1");
  EXPECT_NE(Value(multi, HeaderId::kB3SpanId), "e457b5a2e4d86bd1");
  EXPECT_EQ(Value(multi, HeaderId::kB3Sampled), "1");
}

TEST(TracerTest, ABrokenTraceparentBeginsANewTraceWithoutItsTracestate) {
  Collected sink;
  Tracer tracer(&sink);
  http::HeaderMap headers;
  headers.Add(HeaderId::kTraceparent, "00-nonsense");
  headers.Add(HeaderId::kTracestate, "rojo=1");
  ASSERT_TRUE(tracer.Begin(headers, 1'000'000).reported);
  EXPECT_THAT(Value(headers, HeaderId::kTraceparent),
              MatchesRegex("00-[0-9a-f]{32}-[0-9a-f]{16}-01"));
  EXPECT_FALSE(headers.Has(HeaderId::kTracestate));
}

TEST(TracerTest, TwoTraceparentsAreAsNone) {
  Collected sink;
  Tracer tracer(&sink);
  http::HeaderMap headers;
  headers.Add(HeaderId::kTraceparent, kSampled);
  headers.Add(HeaderId::kTraceparent, kSampled);
  const RequestTrace trace = tracer.Begin(headers, 1'000'000);
  EXPECT_NE(trace.context.trace_id, ParseTraceparent(kSampled)->trace_id);
  EXPECT_EQ(headers.size(), 1u);
}

TEST(TracerTest, AMalformedTracestateIsDroppedAlone) {
  Collected sink;
  Tracer tracer(&sink);
  http::HeaderMap headers;
  headers.Add(HeaderId::kTraceparent, kSampled);
  headers.Add(HeaderId::kTracestate, "rojo=1");
  headers.Add(HeaderId::kTracestate, "no grammar");
  const RequestTrace trace = tracer.Begin(headers, 0);
  EXPECT_EQ(trace.context.trace_id[0], 0x4b);
  EXPECT_FALSE(headers.Has(HeaderId::kTracestate));
}

TEST(TracerTest, ASpanCarriesTheFactsButNoQuery) {
  Collected sink;
  Tracer tracer(&sink);
  http::HeaderMap headers;
  const RequestTrace trace = tracer.Begin(headers, 1'000'000);
  tracer.Submit(trace, {.kind = Span::Kind::kClient,
                        .method = "GET",
                        .authority = "shop",
                        .path = "/cart?token=secret",
                        .protocol = "HTTP/1.1",
                        .route = "carts",
                        .flags = "UF",
                        .status = 503});
  ASSERT_EQ(sink.spans.size(), 1u);
  const Span& span = sink.spans[0];
  EXPECT_EQ(span.name, "GET carts");
  EXPECT_TRUE(span.error);
  EXPECT_EQ(span.context.span_id, trace.context.span_id);
  EXPECT_THAT(span.attributes, Contains(Pair(StrEq("url.path"), "/cart")));
  EXPECT_THAT(span.attributes, Contains(Pair(StrEq("network.protocol.version"), "1.1")));
  EXPECT_THAT(span.attributes, Contains(Pair(StrEq("http.response.status_code"), "503")));
  EXPECT_THAT(span.attributes, Not(Contains(Pair(StrEq("user_agent.original"), ""))));
}

}  // namespace
}  // namespace countersign::trace
