#include "proxy/trace/otlp_exporter.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <condition_variable>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "api/spiffe/testing/test_authority.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/trace/otlp/trace_service.grpc.pb.h"

namespace countersign::trace {
namespace {

namespace collector = opentelemetry::proto::collector::trace::v1;
using spiffe::testing::TestAuthority;
using ::testing::HasSubstr;
using ::testing::Not;

// A collector on loopback.
class Collector final : public collector::TraceService::Service {
 public:
  explicit Collector(
      std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials()) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", std::move(credentials), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Collector() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status Export(grpc::ServerContext*, const collector::ExportTraceServiceRequest* request,
                      collector::ExportTraceServiceResponse* response) override {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !stalled_; });
    requests_.push_back(*request);
    changed_.notify_all();
    if (rejected_ > 0) {
      response->mutable_partial_success()->set_rejected_spans(rejected_);
      response->mutable_partial_success()->set_error_message("too old");
    }
    return answer_;
  }

  std::string endpoint(const std::string& host = "127.0.0.1") const {
    return absl::StrCat(host, ":", port_);
  }
  void Answer(grpc::Status status) {
    std::lock_guard<std::mutex> lock(mutex_);
    answer_ = std::move(status);
  }
  void Reject(int64_t spans) {
    std::lock_guard<std::mutex> lock(mutex_);
    rejected_ = spans;
  }
  void Stall(bool stalled) {
    std::lock_guard<std::mutex> lock(mutex_);
    stalled_ = stalled;
    changed_.notify_all();
  }
  size_t requests() {
    std::lock_guard<std::mutex> lock(mutex_);
    return requests_.size();
  }
  std::vector<collector::ExportTraceServiceRequest> WaitForRequests(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return requests_.size() >= count; });
    return requests_;
  }

 private:
  int port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<collector::ExportTraceServiceRequest> requests_;
  grpc::Status answer_;
  int64_t rejected_ = 0;
  bool stalled_ = false;
  std::unique_ptr<grpc::Server> server_;
};

Span MakeSpan(const std::string& name = "GET carts") {
  Span span;
  span.context.trace_id.fill(0xAB);
  span.context.span_id.fill(0x01);
  span.context.sampled = true;
  span.parent_span_id.fill(0x02);
  span.kind = Span::Kind::kClient;
  span.name = name;
  span.start = std::chrono::system_clock::time_point(std::chrono::seconds(5));
  span.end = span.start + std::chrono::milliseconds(7);
  span.error = true;
  span.attributes.emplace_back("url.path", "/a\xFF");
  return span;
}

OtlpExporterOptions OptionsFor(const std::string& endpoint) {
  return {.endpoint = endpoint,
          .authorities_pem = "",
          .service_name = "web.front",
          .service_namespace = "front",
          .instance = "web",
          .interval = std::chrono::milliseconds(20),
          // Longer than a busy machine takes: who tests a time-out sets it.
          .call_timeout = std::chrono::seconds(30),
          .last_call_timeout = std::chrono::seconds(30)};
}

// The credentials of a collector named `host`.
std::shared_ptr<grpc::ServerCredentials> TlsServer(const TestAuthority& authority,
                                                   const std::string& host) {
  spiffe::testing::LeafOptions leaf;
  leaf.dns_names = {host};
  const spiffe::testing::IssuedLeaf issued = authority.Issue(leaf);
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({issued.key_pem, issued.chain_pem});
  return grpc::SslServerCredentials(options);
}

// Sends a span and tells what became of it.
std::string MetricsAfterASpan(OtlpExporterOptions options) {
  stats::Registry stats;
  {
    options.interval = std::chrono::hours(1);
    OtlpExporter exporter(std::move(options), stats);
    exporter.Submit(MakeSpan());
  }
  return stats.Serialize();
}

TEST(OtlpExporterTest, ASpanArrivesAtTheCollectorAsItWas) {
  Collector collector;
  stats::Registry stats;
  OtlpExporter exporter(OptionsFor(collector.endpoint()), stats);
  exporter.Submit(MakeSpan());
  const auto requests = collector.WaitForRequests(1);
  ASSERT_EQ(requests.size(), 1u);
  const auto& resource_spans = requests[0].resource_spans(0);
  EXPECT_EQ(resource_spans.resource().attributes(0).key(), "service.name");
  EXPECT_EQ(resource_spans.resource().attributes(0).value().string_value(), "web.front");
  const auto& span = resource_spans.scope_spans(0).spans(0);
  EXPECT_EQ(span.trace_id(), std::string(16, '\xAB'));
  EXPECT_EQ(span.span_id(), std::string(8, '\x01'));
  EXPECT_EQ(span.parent_span_id(), std::string(8, '\x02'));
  EXPECT_EQ(span.name(), "GET carts");
  EXPECT_EQ(span.kind(), opentelemetry::proto::trace::v1::Span_SpanKind_SPAN_KIND_CLIENT);
  EXPECT_EQ(span.start_time_unix_nano(), 5'000'000'000u);
  EXPECT_EQ(span.end_time_unix_nano(), 5'007'000'000u);
  EXPECT_EQ(span.status().code(),
            opentelemetry::proto::trace::v1::Status_StatusCode_STATUS_CODE_ERROR);
  EXPECT_EQ(span.attributes(0).value().string_value(), "/a\xEF\xBF\xBD");
}

TEST(OtlpExporterTest, TheEndSendsWhatIsLeftInBatches) {
  Collector collector;
  stats::Registry stats;
  {
    OtlpExporterOptions options = OptionsFor(collector.endpoint());
    options.interval = std::chrono::hours(1);
    options.max_batch = 100;
    options.max_queued = 1000;
    OtlpExporter exporter(options, stats);
    for (int i = 0; i < 250; ++i) exporter.Submit(MakeSpan());
  }
  int spans = 0;
  for (const auto& request : collector.WaitForRequests(3)) {
    const int size = request.resource_spans(0).scope_spans(0).spans_size();
    EXPECT_LE(size, 100);
    spans += size;
  }
  EXPECT_EQ(spans, 250);
  EXPECT_THAT(stats.Serialize(), HasSubstr("countersign_trace_spans_exported_total 250\n"));
}

TEST(OtlpExporterTest, ACollectorThatStandsStillCostsSpansAndNeverTime) {
  Collector collector;
  collector.Stall(true);
  stats::Registry stats;
  OtlpExporterOptions options = OptionsFor(collector.endpoint());
  options.max_queued = 64;
  options.max_batch = 16;
  options.last_call_timeout = std::chrono::milliseconds(100);
  options.call_timeout = std::chrono::milliseconds(200);
  {
    OtlpExporter exporter(options, stats);
    for (int i = 0; i < 10'000; ++i) exporter.Submit(MakeSpan());
  }
  // It stood still all the while: had a span waited for it, or the end, we would not be here.
  EXPECT_THAT(stats.Serialize(), HasSubstr("spans_dropped_total{reason=\"full\"}"));
  EXPECT_THAT(stats.Serialize(), HasSubstr("spans_dropped_total{reason=\"unavailable\"}"));
  EXPECT_THAT(stats.Serialize(), HasSubstr("spans_exported_total 0\n"));
  collector.Stall(false);
}

TEST(OtlpExporterTest, WhatTheCollectorRefusesIsCounted) {
  Collector collector;
  collector.Answer(grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no"));
  stats::Registry stats;
  {
    OtlpExporter exporter(OptionsFor(collector.endpoint()), stats);
    exporter.Submit(MakeSpan());
    collector.WaitForRequests(1);
  }
  EXPECT_THAT(stats.Serialize(), HasSubstr("spans_dropped_total{reason=\"refused\"} 1\n"));
  collector.Answer(grpc::Status::OK);
  collector.Reject(2);
  stats::Registry partial;
  {
    OtlpExporterOptions options = OptionsFor(collector.endpoint());
    options.interval = std::chrono::hours(1);
    OtlpExporter exporter(options, partial);
    for (int i = 0; i < 5; ++i) exporter.Submit(MakeSpan());
  }
  EXPECT_THAT(partial.Serialize(), HasSubstr("spans_dropped_total{reason=\"refused\"} 2\n"));
  EXPECT_THAT(partial.Serialize(), HasSubstr("spans_exported_total 3\n"));
}

TEST(OtlpExporterTest, NobodyAtTheEndpointIsCountedAndDoesNotHoldUpTheEnd) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(MetricsAfterASpan(OptionsFor("127.0.0.1:1")),
              HasSubstr("{reason=\"unavailable\"} 1\n"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, OptionsFor("").last_call_timeout);
}

TEST(OtlpExporterTest, SpansTravelByTlsToTheCollectorThatIsNamed) {
  const TestAuthority authority("collectors.example");
  Collector collector(TlsServer(authority.Intermediate(), "localhost"));
  OtlpExporterOptions options = OptionsFor(collector.endpoint("localhost"));
  options.tls = true;
  options.authorities_pem =
      TestAuthority("another.example").root_pem() + authority.root_pem();  // one of several
  EXPECT_THAT(MetricsAfterASpan(options), HasSubstr("spans_exported_total 1\n"));
  EXPECT_EQ(collector.WaitForRequests(1).size(), 1u);
}

TEST(OtlpExporterTest, ACollectorThatDoesNotProveItsNameGetsNothing) {
  const TestAuthority authority("collectors.example");
  struct Case {
    const char* what;
    std::shared_ptr<grpc::ServerCredentials> server;
    bool tls;
    std::string authorities;
  };
  const Case cases[] = {
      {"of another authority", TlsServer(TestAuthority("collectors.example"), "localhost"), true,
       authority.root_pem()},
      {"that the system does not know", TlsServer(authority, "localhost"), true, ""},
      {"of another name", TlsServer(authority, "other.example"), true, authority.root_pem()},
      {"without TLS, where TLS is wanted", grpc::InsecureServerCredentials(), true,
       authority.root_pem()},
      {"with TLS, where none is wanted", TlsServer(authority, "localhost"), false, ""},
  };
  for (const Case& one : cases) {
    Collector collector(one.server);
    OtlpExporterOptions options = OptionsFor(collector.endpoint("localhost"));
    options.tls = one.tls;
    options.authorities_pem = one.authorities;
    const std::string metrics = MetricsAfterASpan(options);
    EXPECT_THAT(metrics, HasSubstr("{reason=\"unavailable\"} 1\n")) << one.what;
    EXPECT_THAT(metrics, HasSubstr("spans_exported_total 0\n")) << one.what;
    EXPECT_EQ(collector.requests(), 0u) << one.what;
  }
}

}  // namespace
}  // namespace countersign::trace
