#include "proxy/access_log/format.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::access_log {
namespace {

using Kind = LineFormat::Kind;
using ::testing::HasSubstr;
using ::testing::Not;

// Whatever somebody may hide in a header: line feeds, quotes, terminal commands in one byte and in
// two, a NUL, and bytes that are not UTF-8.
constexpr char kHostileBytes[] = "a\"b\\c\nd\re\x1B[2Jf\x7Fg\0h\xC2\x9Bi\xFFj\xE2\x82k\xC3\xA9=l";
const std::string kHostile(kHostileBytes, sizeof kHostileBytes - 1);

Record Request() {
  Record record;
  record.start = absl::FromUnixMillis(1'500);
  record.duration = absl::Milliseconds(12);
  record.http = true;
  record.protocol = "HTTP/1.1";
  record.method = "GET";
  record.authority = "shop";
  record.path = "/cart?x=1";
  record.status = 503;
  record.flags = "UF,URX";
  record.reason = "connect_failed";
  record.bytes_received = 3;
  record.bytes_sent = 99;
  record.user_agent = "curl/8";
  record.request_id = "r-1";
  record.upstream = "10.0.0.2:8080";
  record.downstream = "10.0.0.1:5";
  record.peer_id = "spiffe://td/shop";
  record.security = "mutual_tls";
  record.attempts = 3;
  return record;
}

std::string Line(const LineFormat& format, const Record& record) {
  TimeCache time;
  std::string line;
  format.Append(record, time, &line);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  return line;
}

LineFormat Make(Kind kind, const std::vector<std::string>& fields = {}) {
  absl::StatusOr<LineFormat> format = LineFormat::Make(kind, fields);
  EXPECT_TRUE(format.ok()) << format.status();
  return *format;
}

TEST(FormatTest, ReferenceIsWhatTheTableSays) {
  std::ifstream file("proxy/access_log/FIELDS.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(page, RenderReference())
      << "bazel run //proxy/access_log:fields_reference > proxy/access_log/FIELDS.md";
}

TEST(FormatTest, ARequestAsJson) {
  const nlohmann::json parsed = nlohmann::json::parse(Line(LineFormat(), Request()));
  EXPECT_EQ(parsed["start_time"], "1970-01-01T00:00:01.500Z");
  EXPECT_EQ(parsed["duration_ms"], 12);
  EXPECT_EQ(parsed["direction"], "outbound");
  EXPECT_EQ(parsed["status"], 503);
  EXPECT_EQ(parsed["response_flags"], "UF,URX");
  EXPECT_EQ(parsed["path"], "/cart?x=1");
  EXPECT_EQ(parsed["attempts"], 3);
  EXPECT_FALSE(parsed.contains("grpc_status"));
  EXPECT_FALSE(parsed.contains("upstream_duration_ms"));
}

TEST(FormatTest, AConnectionHasNoFieldsOfRequests) {
  Record record = Request();
  record.http = false;
  record.flags = {};
  const nlohmann::json parsed = nlohmann::json::parse(Line(LineFormat(), record));
  EXPECT_EQ(parsed["protocol"], "TCP");
  EXPECT_EQ(parsed["response_flags"], "-");
  EXPECT_FALSE(parsed.contains("status"));
  EXPECT_FALSE(parsed.contains("path"));
  EXPECT_THAT(Line(Make(Kind::kText), record),
              HasSubstr("] \"- - TCP\" - - connect_failed 3 99 12 - "));
}

TEST(FormatTest, ARequestAsText) {
  EXPECT_EQ(Line(Make(Kind::kText), Request()),
            "[1970-01-01T00:00:01.500Z] \"GET /cart?x=1 HTTP/1.1\" 503 UF,URX connect_failed 3 99 "
            "12 - \"curl/8\" \"r-1\" \"shop\" \"10.0.0.2:8080\" outbound 10.0.0.1:5 "
            "\"spiffe://td/shop\" mutual_tls\n");
}

TEST(FormatTest, ChosenFieldsStandInTheirOrder) {
  Record record = Request();
  record.user_agent = "two words";
  const std::vector<std::string> fields = {"status", "user_agent", "policy", "grpc_status"};
  EXPECT_EQ(Line(Make(Kind::kText, fields), record),
            "status=503 user_agent=\"two words\" policy=- grpc_status=-\n");
  EXPECT_EQ(Line(Make(Kind::kJson, fields), record),
            "{\"status\":503,\"user_agent\":\"two words\",\"policy\":\"\"}\n");
  record.http = false;
  EXPECT_EQ(Line(Make(Kind::kJson, {"status"}), record), "{}\n");
}

TEST(FormatTest, UnknownFieldsAreRefusedWithTheListOfAll) {
  const absl::Status status = LineFormat::Make(Kind::kJson, {"path", "pathh"}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("there is no field pathh; there are start"));
  EXPECT_FALSE(LineFormat::Make(Kind::kJson, {"path", "path"}).ok());
}

Record AllHostile() {
  Record record = Request();
  for (absl::string_view* field :
       {&record.downstream, &record.destination, &record.upstream, &record.security,
        &record.peer_id, &record.peer_serial, &record.flags, &record.reason, &record.policy,
        &record.protocol, &record.method, &record.authority, &record.path, &record.user_agent,
        &record.request_id, &record.trace_id, &record.route, &record.cluster}) {
    *field = kHostile;
  }
  return record;
}

void ExpectHarmless(const std::string& line) {
  for (size_t i = 0; i + 1 < line.size(); ++i) {
    const auto byte = static_cast<unsigned char>(line[i]);
    EXPECT_TRUE(byte >= 0x20 && byte != 0x7F) << "byte " << static_cast<int>(byte);
  }
  EXPECT_THAT(line, Not(HasSubstr("\xC2\x9B")));
}

TEST(FormatTest, JsonStaysOneObjectWhateverPeersSend) {
  const std::string line = Line(LineFormat(), AllHostile());
  ExpectHarmless(line);
  const nlohmann::json parsed = nlohmann::json::parse(line);  // strict about UTF-8 as well
  EXPECT_EQ(parsed["path"].get<std::string>(),
            absl::StrReplaceAll(
                kHostile, {{"\xFF", "\xEF\xBF\xBD"}, {"\xE2\x82", "\xEF\xBF\xBD\xEF\xBF\xBD"}}));
  EXPECT_EQ(parsed.size(), 25u);
}

TEST(FormatTest, TextStaysOneLineWithItsFieldsApart) {
  const std::string escaped =
      "\"a\\\"b\\\\c\\x0ad\\x0de\\x1b[2Jf\\x7fg\\x00h\\xc2\\x9bi\\xffj\\xe2\\x82k\\xc3\\xa9=l\"";
  const std::string line = Line(Make(Kind::kText, {"path", "reason"}), AllHostile());
  EXPECT_EQ(line, "path=" + escaped + " reason=" + escaped + "\n");
  ExpectHarmless(Line(Make(Kind::kText), AllHostile()));
}

TEST(FormatTest, OverlongValuesAreCut) {
  Record record = Request();
  const std::string path(100'000, 'x');
  const std::string agent(100'000, '\x01');
  record.path = path;
  record.user_agent = agent;
  EXPECT_LT(Line(Make(Kind::kText), record).size(), 6 * kMaxValueBytes);
  const nlohmann::json parsed = nlohmann::json::parse(Line(LineFormat(), record));
  EXPECT_EQ(parsed["path"].get<std::string>(), std::string(kMaxValueBytes, 'x') + "...");
}

TEST(FormatTest, ACutInsideACharacterStaysUtf8) {
  Record record = Request();
  const std::string path = std::string(kMaxValueBytes - 1, 'x') + "\xC3\xA9";
  record.path = path;
  EXPECT_TRUE(nlohmann::json::accept(Line(LineFormat(), record)));
}

TEST(FormatTest, TimesBeforeTheEpochAndAcrossSecondsAreRight) {
  TimeCache time;
  const LineFormat format = Make(Kind::kText, {"start_time"});
  std::string lines;
  for (const int64_t millis :
       std::initializer_list<int64_t>{999, 1000, 1999, -1, -1000, 951'782'399'999}) {
    Record record;
    record.start = absl::FromUnixMillis(millis);
    format.Append(record, time, &lines);
  }
  EXPECT_EQ(lines,
            "start_time=1970-01-01T00:00:00.999Z\nstart_time=1970-01-01T00:00:01.000Z\n"
            "start_time=1970-01-01T00:00:01.999Z\nstart_time=1969-12-31T23:59:59.999Z\n"
            "start_time=1969-12-31T23:59:59.000Z\nstart_time=2000-02-28T23:59:59.999Z\n");
}

}  // namespace
}  // namespace countersign::access_log
