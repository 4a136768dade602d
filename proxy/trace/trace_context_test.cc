#include "proxy/trace/trace_context.h"

#include <string>

#include "gtest/gtest.h"

namespace countersign::trace {
namespace {

constexpr char kExample[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

std::string Traceparent(const SpanContext& context) {
  char out[kTraceparentBytes];
  FormatTraceparent(context, out);
  return std::string(out, sizeof out);
}

TEST(TraceContextTest, ATraceparentComesBackAsItWas) {
  const std::optional<SpanContext> context = ParseTraceparent(kExample);
  ASSERT_TRUE(context.has_value());
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(context->trace_id[0], 0x4b);
  EXPECT_EQ(context->span_id[7], 0xb7);
  EXPECT_EQ(Traceparent(*context), kExample);
  EXPECT_FALSE(
      ParseTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02")->sampled);
}

TEST(TraceContextTest, MalformedTraceparentsAreNone) {
  for (const char* value : {
           "", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",    // 00 ends there
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",    //
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",     // never a version
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",     // upper case
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",     // no trace
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",     // no span
           "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",     //
           "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",     //
           " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",    //
           "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",     //
           "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more"  // later, but no dash
       }) {
    EXPECT_FALSE(ParseTraceparent(value).has_value()) << value;
  }
  std::string with_nul = kExample;
  with_nul[10] = '\0';
  EXPECT_FALSE(ParseTraceparent(with_nul).has_value());
}

TEST(TraceContextTest, LaterVersionsAreReadAsFarAsTheFirstGoes) {
  for (const char* value : {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what.comes"}) {
    const std::optional<SpanContext> context = ParseTraceparent(value);
    ASSERT_TRUE(context.has_value()) << value;
    EXPECT_EQ(Traceparent(*context), kExample);
  }
}

bool TracestateOk(const std::string& value) {
  size_t members = 0;
  size_t size = 0;
  return CheckTracestate(value, &members, &size);
}

TEST(TraceContextTest, TracestateIsHeldToItsGrammar) {
  for (const char* value : {"", "rojo=00f067aa0ba902b7", "rojo=1,congo=t61rcWkgMzE", "a=b , ,\tc=d",
                            "fw529a3039@dt=x", "0tenant@sys=x", "a*/-_=!~ x"}) {
    EXPECT_TRUE(TracestateOk(value)) << value;
  }
  for (const char* value : {"a", "=b", "a=", "A=b", "a=b=c", "1a=b", "a@=b", "@a=b", "a@1=b",
                            "a=\x7F", "a=\xC3\xA9", "a b=c", "a=b;c d"}) {
    EXPECT_EQ(TracestateOk(value), std::string(value) == "a=b;c d") << value;
  }
  std::string many;
  for (int i = 0; i < 32; ++i) many += "k" + std::to_string(i) + "=v,";
  EXPECT_TRUE(TracestateOk(many));
  EXPECT_FALSE(TracestateOk(many + "last=v"));
  EXPECT_FALSE(TracestateOk("a=" + std::string(257, 'x')));
  EXPECT_FALSE(TracestateOk("a=" + std::string(250, 'x') + ",b=" + std::string(250, 'x') +
                            ",c=" + std::string(250, 'x')));
}

TEST(TraceContextTest, B3InOneHeader) {
  const auto full =
      ParseB3Single("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90");
  ASSERT_TRUE(full.has_value());
  EXPECT_TRUE(full->context.valid());
  EXPECT_EQ(full->sampled, true);
  EXPECT_FALSE(full->short_trace_id);
  const auto short_id = ParseB3Single("64FE8B2A57D3EFF7-e457b5a2e4d86bd1");
  ASSERT_TRUE(short_id.has_value());
  EXPECT_TRUE(short_id->short_trace_id);
  EXPECT_EQ(short_id->context.trace_id[7], 0);
  EXPECT_EQ(short_id->context.trace_id[8], 0x64);
  EXPECT_FALSE(short_id->sampled.has_value());
  EXPECT_EQ(ParseB3Single("0")->sampled, false);
  EXPECT_TRUE(ParseB3Single("d")->debug);
  for (const char* value :
       {"", "2", "x", "80f198ee56343ba864fe8b2a57d3eff7", "80f198ee56343ba864fe8b2a57d3eff7-",
        "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-",
        "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-",
        "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b9",
        "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90-",
        "00000000000000000000000000000000-e457b5a2e4d86bd1-1", "8-e457b5a2e4d86bd1-1"}) {
    EXPECT_FALSE(ParseB3Single(value).has_value()) << value;
  }
}

TEST(TraceContextTest, B3InSeveralHeaders) {
  const auto full = ParseB3Multi("80f198ee56343ba864fe8b2a57d3eff7", "e457b5a2e4d86bd1", "1", {});
  ASSERT_TRUE(full.has_value());
  EXPECT_EQ(full->sampled, true);
  EXPECT_EQ(ParseB3Multi({}, {}, "0", {})->sampled, false);
  EXPECT_TRUE(ParseB3Multi({}, {}, "0", "1")->debug);
  EXPECT_FALSE(ParseB3Multi({}, {}, {}, {}).has_value());
  EXPECT_FALSE(ParseB3Multi("80f198ee56343ba8", {}, "1", {}).has_value());
  EXPECT_FALSE(ParseB3Multi({}, {}, "yes", {}).has_value());
}

}  // namespace
}  // namespace countersign::trace
