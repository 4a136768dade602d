#include "proxy/main/flags.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::main {
namespace {

using ::testing::HasSubstr;

class FlagsTest : public ::testing::Test {
 protected:
  absl::StatusOr<Settings> Parse(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--control", "c:15012", "--trust-bundle=/b.pem"});
    return ParseFlags(arguments, [this](const char* name) -> const char* {
      auto it = environment_.find(name);
      return it == environment_.end() ? nullptr : it->second.c_str();
    });
  }
  std::string Error(std::vector<std::string> arguments) {
    return std::string(Parse(std::move(arguments)).status().message());
  }

  std::map<std::string, std::string> environment_;
};

TEST_F(FlagsTest, ReferenceIsWhatTheTableSays) {
  std::ifstream file("proxy/main/FLAGS.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(page, RenderFlagsReference())
      << "bazel run //proxy/main:flags_reference > proxy/main/FLAGS.md";
}

TEST_F(FlagsTest, DefaultsListenOnTheAgreedPorts) {
  absl::StatusOr<Settings> settings = Parse({});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->server.admin_listen.at(0).ToString(), "127.0.0.1:15000");
  EXPECT_EQ(settings->server.outbound_listen.at(0).ToString(), "0.0.0.0:15001");
  EXPECT_EQ(settings->server.trust_domain, "cluster.local");
  EXPECT_EQ(settings->server.drain_time.count(), 45'000);
  EXPECT_EQ(settings->server.expiry_grace, std::chrono::hours(24));
}

TEST_F(FlagsTest, EnvironmentCountsAndAFlagWins) {
  environment_["COUNTERSIGN_CONCURRENCY"] = "3";
  environment_["COUNTERSIGN_DRAIN_TIME"] = "1m";
  environment_["COUNTERSIGN_FORWARD"] = "127.0.0.1:1=10.0.0.1:2;[::1]:3=[fd00::1]:4";
  environment_["COUNTERSIGN_INBOUND_FORWARD"] = "127.0.0.1:5=127.0.0.1:6";
  absl::StatusOr<Settings> settings = Parse({"--concurrency", "2", "--expiry-grace=0"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->server.concurrency, 2u);
  EXPECT_EQ(settings->server.drain_time.count(), 60'000);
  EXPECT_EQ(settings->server.expiry_grace.count(), 0);
  ASSERT_EQ(settings->server.forwards.size(), 2u);
  EXPECT_EQ(settings->server.forwards[1].destination.ToString(), "[fd00::1]:4");
  ASSERT_EQ(settings->server.inbound_forwards.size(), 1u);
  EXPECT_EQ(settings->server.inbound_forwards[0].destination.ToString(), "127.0.0.1:6");
}

TEST_F(FlagsTest, ListenersMayBeOffOrSeveral) {
  absl::StatusOr<Settings> settings =
      Parse({"--hbone-listen", "off", "--inbound-listen", "10.0.0.1:1,[::1]:2"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_TRUE(settings->server.hbone_listen.empty());
  EXPECT_EQ(settings->server.inbound_listen.size(), 2u);
}

TEST_F(FlagsTest, UnusableFlagsAreRefusedWithASentence) {
  EXPECT_THAT(Error({"--nonsense", "1"}), HasSubstr("there is no flag --nonsense"));
  EXPECT_THAT(Error({"stray"}), HasSubstr("`stray` is no flag"));
  EXPECT_THAT(Error({"--concurrency", "0"}), HasSubstr("from 1 to 64"));
  EXPECT_THAT(Error({"--concurrency", "1", "--concurrency", "2"}), HasSubstr("given twice"));
  EXPECT_THAT(Error({"--drain-time", "soon"}), HasSubstr("45s"));
  EXPECT_THAT(Error({"--expiry-grace", "48h"}), HasSubstr("at most a day"));
  EXPECT_THAT(Error({"--forward", "8080"}), HasSubstr("LISTEN=DESTINATION"));
  EXPECT_THAT(Error({"--trust-domain", "Mesh"}), HasSubstr("--trust-domain Mesh"));
  EXPECT_THAT(Error({"--log-level", "loud"}), HasSubstr("write one of"));
  EXPECT_THAT(Error({"--outbound-listen", "70000"}), HasSubstr("1 to 65535"));
  EXPECT_THAT(Error({"--workload", "web"}), HasSubstr("--namespace"));
  EXPECT_THAT(Error({"--workload", "Web/../x"}), HasSubstr("Kubernetes name"));
  environment_["COUNTERSIGN_LOG_FORMAT"] = "xml";
  EXPECT_THAT(Error({}), HasSubstr("COUNTERSIGN_LOG_FORMAT xml"));
  EXPECT_THAT(std::string(ParseFlags({}, [](const char*) { return nullptr; }).status().message()),
              HasSubstr("--control HOST:PORT is required"));
  EXPECT_THAT(
      std::string(
          ParseFlags({"--control"}, [](const char*) { return nullptr; }).status().message()),
      HasSubstr("needs a value"));
}

TEST_F(FlagsTest, TheAccessLogIsDescribedByItsFlagsTogether) {
  absl::StatusOr<Settings> settings =
      Parse({"--access-log-fields", "path,status", "--access-log-format", "text",
             "--access-log-sample=0.25", "--access-log=-"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  access_log::Record record;
  record.http = true;
  record.path = "/a";
  record.status = 200;
  access_log::TimeCache time;
  std::string line;
  settings->server.access_log.format.Append(record, time, &line);
  EXPECT_EQ(line, "path=/a status=200\n");
  EXPECT_EQ(settings->server.access_log.sample, 0.25);
  EXPECT_THAT(Error({"--access-log-fields", "path,nonsense"}), HasSubstr("no field nonsense"));
  EXPECT_THAT(Error({"--access-log-sample", "2"}), HasSubstr("from 0 to 1"));
  EXPECT_THAT(Error({"--access-log-sample", "nan"}), HasSubstr("from 0 to 1"));
}

TEST_F(FlagsTest, LimitsAndCollector) {
  absl::StatusOr<Settings> settings = Parse({"--max-buffered-bytes", "64MiB", "--max-requests",
                                             "100", "--otlp-endpoint", "localhost:4317"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->server.max_buffered_bytes, size_t{64} << 20);
  EXPECT_EQ(settings->server.max_requests, 100u);
  EXPECT_EQ(settings->server.otlp_endpoint, "localhost:4317");
  EXPECT_EQ(Parse({})->server.max_buffered_bytes, size_t{256} << 20);
  EXPECT_EQ(Parse({})->server.otlp_endpoint, "");
  EXPECT_THAT(Error({"--max-buffered-bytes", "1"}), HasSubstr("256MiB"));
  EXPECT_THAT(Error({"--max-buffered-bytes", "99999999999GiB"}), HasSubstr("256MiB"));
  EXPECT_THAT(Error({"--max-requests", "0"}), HasSubstr("from 1"));
  EXPECT_THAT(Error({"--otlp-endpoint", "collector"}), HasSubstr("localhost:4317"));
}

TEST_F(FlagsTest, TheSchemeOfTheCollectorDecidesOnTls) {
  for (const char* plain : {"localhost:4317", "http://localhost:4317"}) {
    absl::StatusOr<Settings> settings = Parse({"--otlp-endpoint", plain});
    ASSERT_TRUE(settings.ok()) << settings.status();
    EXPECT_EQ(settings->server.otlp_endpoint, "localhost:4317");
    EXPECT_FALSE(settings->server.otlp_tls);
  }
  absl::StatusOr<Settings> settings =
      Parse({"--otlp-endpoint", "https://[::1]:4317", "--otlp-ca-file", "/ca.pem"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->server.otlp_endpoint, "[::1]:4317");
  EXPECT_TRUE(settings->server.otlp_tls);
  EXPECT_EQ(settings->server.otlp_ca_file, "/ca.pem");
  EXPECT_EQ(Parse({"--otlp-endpoint=https://c:1"})->server.otlp_ca_file, "");
  for (const char* wrong : {"https://collector", "https://c:4317/v1/traces", "ftp://c:4317",
                            "HTTPS://c:4317", "https://user@c:4317", "https://"}) {
    EXPECT_THAT(Error({"--otlp-endpoint", wrong}), HasSubstr("localhost:4317, and https://"))
        << wrong;
  }
}

TEST_F(FlagsTest, AnAuthorityForACollectorWithoutTlsIsRefused) {
  for (const char* endpoint : {"off", "localhost:4317", "http://localhost:4317"}) {
    EXPECT_THAT(Error({"--otlp-endpoint", endpoint, "--otlp-ca-file", "/ca.pem"}),
                HasSubstr("write --otlp-endpoint https://HOST:PORT, or leave"))
        << endpoint;
  }
}

TEST_F(FlagsTest, HelpNamesEveryFlag) {
  const absl::Status help = Parse({"--help"}).status();
  EXPECT_EQ(help.code(), absl::StatusCode::kCancelled);
  for (const Flag& flag : Flags()) {
    EXPECT_THAT(std::string(help.message()), HasSubstr(std::string("--") + flag.name));
  }
}

}  // namespace
}  // namespace countersign::main
