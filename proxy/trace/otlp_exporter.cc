#include "proxy/trace/otlp_exporter.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "api/net/address.h"
#include "proxy/stats/families.h"
#include "proxy/stats/utf8.h"
#include "proxy/trace/otlp/trace_service.pb.h"

namespace countersign::trace {
namespace {

namespace otlp = opentelemetry::proto;

constexpr char kMethod[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr char kScope[] = "countersign-proxy";
constexpr int kMaxResponseBytes = 64 * 1024;
constexpr std::chrono::seconds kLogInterval{60};

// protobuf's strings are UTF-8, and a collector may discard the whole batch for one that is not.
std::string Utf8(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t length = stats::Utf8Length(text);
    length == 0 ? out.append("\xEF\xBF\xBD") : out.append(text.data(), length);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

void AddAttribute(absl::string_view key, absl::string_view value,
                  google::protobuf::RepeatedPtrField<otlp::common::v1::KeyValue>* attributes) {
  otlp::common::v1::KeyValue* attribute = attributes->Add();
  attribute->set_key(std::string(key));
  attribute->mutable_value()->set_string_value(Utf8(value));
}

uint64_t Nanos(std::chrono::system_clock::time_point time) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

template <size_t kSize>
std::string Bytes(const std::array<uint8_t, kSize>& id) {
  return std::string(reinterpret_cast<const char*>(id.data()), id.size());
}

void Fill(const Span& span, otlp::trace::v1::Span* out) {
  out->set_trace_id(Bytes(span.context.trace_id));
  out->set_span_id(Bytes(span.context.span_id));
  if (span.parent_span_id != std::array<uint8_t, 8>{}) {
    out->set_parent_span_id(Bytes(span.parent_span_id));
  }
  out->set_name(Utf8(span.name));
  out->set_kind(span.kind == Span::Kind::kServer ? otlp::trace::v1::Span_SpanKind_SPAN_KIND_SERVER
                                                 : otlp::trace::v1::Span_SpanKind_SPAN_KIND_CLIENT);
  out->set_start_time_unix_nano(Nanos(span.start));
  out->set_end_time_unix_nano(Nanos(span.end));
  for (const auto& [name, value] : span.attributes) {
    AddAttribute(name, value, out->mutable_attributes());
  }
  if (span.error) {
    out->mutable_status()->set_code(otlp::trace::v1::Status_StatusCode_STATUS_CODE_ERROR);
  }
}

// The host is checked by gRPC, against the certificate's subject alternative names.
std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const OtlpExporterOptions& options) {
  if (!options.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = options.authorities_pem;
  return grpc::SslCredentials(tls);
}

std::string GrpcTarget(const std::string& endpoint) {
  const absl::StatusOr<net::Address> address = net::Address::Parse(endpoint);
  if (!address.ok()) return absl::StrCat("dns:///", endpoint);
  return absl::StrCat(address->ip().is_v4() ? "ipv4:" : "ipv6:", endpoint);
}

}  // namespace

// One call at a time, waited for: this thread has nothing else to do.
class OtlpExporter::Channel {
 public:
  explicit Channel(const OtlpExporterOptions& options) : stub_(MakeChannel(options)) {}
  ~Channel() {
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  // `response` holds the answer's bytes when the status is OK.
  grpc::Status Call(const std::string& request, std::chrono::milliseconds timeout,
                    std::string* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    const grpc::Slice slice(request);
    const std::unique_ptr<grpc::GenericClientAsyncResponseReader> call =
        stub_.PrepareUnaryCall(&context, kMethod, grpc::ByteBuffer(&slice, 1), &queue_);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, this);
    void* tag = nullptr;
    bool ok = false;
    queue_.Next(&tag, &ok);
    std::vector<grpc::Slice> slices;
    if (status.ok() && answer.Dump(&slices).ok()) {
      for (const grpc::Slice& part : slices) {
        response->append(reinterpret_cast<const char*>(part.begin()), part.size());
      }
    }
    return status;
  }

 private:
  static std::shared_ptr<grpc::Channel> MakeChannel(const OtlpExporterOptions& options) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, kMaxResponseBytes);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return grpc::CreateCustomChannel(GrpcTarget(options.endpoint), CredentialsOf(options),
                                     arguments);
  }

  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
};

OtlpExporter::OtlpExporter(OtlpExporterOptions options, stats::Registry& stats)
    : options_(std::move(options)), stats_(stats) {
  queue_.reserve(options_.max_queued);
  thread_ = std::thread([this] { Run(); });
}

OtlpExporter::~OtlpExporter() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void OtlpExporter::Submit(Span span) {
  bool batch_is_full = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (queue_.size() >= options_.max_queued) {
      ++dropped_;
      return;
    }
    queue_.push_back(std::move(span));
    batch_is_full = queue_.size() == options_.max_batch;
  }
  if (batch_is_full) wake_.notify_one();
}

void OtlpExporter::Run() {
  pthread_setname_np(pthread_self(), "otlp-exporter");
  Channel channel(options_);
  std::vector<Span> batch;
  batch.reserve(options_.max_queued);
  for (bool stop = false; !stop;) {
    uint64_t dropped = 0;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait_for(lock, options_.interval,
                     [this] { return stop_ || queue_.size() >= options_.max_batch; });
      stop = stop_;
      queue_.swap(batch);
      dropped = std::exchange(dropped_, 0);
    }
    if (dropped > 0) stats_.Get(stats::kSpansDropped, {"full"}).Add(dropped);
    Export(channel, batch, stop ? options_.last_call_timeout : options_.call_timeout);
    batch.clear();
  }
}

std::string OtlpExporter::Serialize(std::vector<Span>::const_iterator begin,
                                    std::vector<Span>::const_iterator end) const {
  otlp::collector::trace::v1::ExportTraceServiceRequest request;
  otlp::trace::v1::ResourceSpans* spans = request.add_resource_spans();
  auto* resource = spans->mutable_resource()->mutable_attributes();
  AddAttribute("service.name", options_.service_name, resource);
  if (!options_.service_namespace.empty()) {
    AddAttribute("service.namespace", options_.service_namespace, resource);
  }
  if (!options_.instance.empty()) AddAttribute("service.instance.id", options_.instance, resource);
  otlp::trace::v1::ScopeSpans* scope = spans->add_scope_spans();
  scope->mutable_scope()->set_name(kScope);
  for (auto span = begin; span != end; ++span) Fill(*span, scope->add_spans());
  return request.SerializeAsString();
}

void OtlpExporter::Export(Channel& channel, std::vector<Span>& spans,
                          std::chrono::milliseconds timeout) {
  for (auto begin = spans.cbegin(); begin != spans.cend();) {
    const auto size = std::min<std::ptrdiff_t>(spans.cend() - begin,
                                               static_cast<std::ptrdiff_t>(options_.max_batch));
    std::string answer;
    const grpc::Status status = channel.Call(Serialize(begin, begin + size), timeout, &answer);
    begin += size;
    auto taken = static_cast<uint64_t>(size);
    std::string complaint;
    if (!status.ok()) {
      // The collector was there and said no, or it did not answer.
      const bool unavailable = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                               status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
      stats_.Get(stats::kSpansDropped, {unavailable ? "unavailable" : "refused"}).Add(taken);
      taken = 0;
      complaint = status.error_message();
      if (unavailable)
        timeout = std::chrono::milliseconds(1);  // the rest of this batch fares alike
    } else {
      otlp::collector::trace::v1::ExportTraceServiceResponse response;
      if (response.ParseFromString(answer) && response.partial_success().rejected_spans() > 0) {
        const uint64_t rejected = std::min<uint64_t>(
            taken, static_cast<uint64_t>(response.partial_success().rejected_spans()));
        stats_.Get(stats::kSpansDropped, {"refused"}).Add(rejected);
        taken -= rejected;
        complaint = response.partial_success().error_message();
      }
    }
    stats_.Get(stats::kSpansExported, {}).Add(taken);
    const auto now = std::chrono::steady_clock::now();
    if (!complaint.empty() && (!complained_at_ || now - *complained_at_ >= kLogInterval)) {
      complained_at_ = now;
      spdlog::warn(
          "the collector {} does not take spans: {}; they are dropped and counted in "
          "countersign_trace_spans_dropped_total (--otlp-endpoint)",
          options_.endpoint, complaint);
    }
  }
}

}  // namespace countersign::trace
