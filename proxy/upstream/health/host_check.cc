#include "proxy/upstream/health/host_check.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/upstream/pool/lingering_connections.h"

namespace countersign::upstream {

using buffer::Buffer;
using buffer::CloseReason;
using Kind = config::HealthCheck::Kind;

namespace {

// Of an answer to a gRPC check: the message is two bytes behind five of framing.
constexpr size_t kMaxAnswer = 64;

// grpc.health.v1.HealthCheckRequest{service: 1} in a gRPC frame: uncompressed, four bytes of
// length, then the message. A service name is at most 255 bytes here, so its length is one or two
// bytes of varint.
std::string GrpcRequest(absl::string_view service) {
  std::string message;
  if (!service.empty()) {
    service = service.substr(0, 255);
    message.push_back('\x0a');  // field 1, length-delimited
    if (service.size() >= 128) {
      message.push_back(static_cast<char>((service.size() & 0x7f) | 0x80));
      message.push_back(static_cast<char>(service.size() >> 7));
    } else {
      message.push_back(static_cast<char>(service.size()));
    }
    message.append(service.data(), service.size());
  }
  std::string frame(3, '\0');
  frame.push_back(static_cast<char>(message.size() >> 8));
  frame.push_back(static_cast<char>(message.size()));
  return frame + message;
}

// grpc.health.v1.HealthCheckResponse{status: 1}, SERVING = 1, in a gRPC frame; proto3 leaves a
// status of 0 (UNKNOWN) out.
bool IsServing(absl::string_view frame) {
  return frame.size() >= 7 && frame.substr(0, 5) == absl::string_view("\0\0\0\0\x02", 5) &&
         frame[5] == '\x08' && frame[6] == '\x01';
}

}  // namespace

HostCheck::HostCheck(PoolShared& shared, Owner& owner, Host& host, const config::Cluster& cluster,
                     const config::HealthCheck& config, bool http2)
    : shared_(shared),
      owner_(owner),
      host_(host),
      config_(config),
      // The cluster's name, which Envoy sends, is no authority: ours have slashes in them.
      authority_(config.host.empty() ? host.endpoint.address.ToString() : config.host),
      connect_timeout_(std::min(cluster.connect_timeout, config.timeout)),
      protocol_(http2 || config.kind == Kind::kGrpc ? http::Protocol::kHttp2
                                                    : http::Protocol::kHttp11),
      next_(shared.dispatcher.timers(), this,
            [](void* self) { static_cast<HostCheck*>(self)->Begin(); }),
      timeout_(shared.dispatcher.timers(), this,
               [](void* self) { static_cast<HostCheck*>(self)->OnTimeout(); }) {
  // The first soon, but not all at the same moment.
  const auto spread = std::clamp<int64_t>(config_.interval.count() / 10, 1, 1000);
  next_.Arm(std::chrono::milliseconds(shared_.random.Below(static_cast<uint32_t>(spread))));
}

HostCheck::~HostCheck() {
  asking_ = false;
  DropConnection();
  if (probe_ != nullptr) probe_->Cancel();
  shared_.dispatcher.DeferredDelete(std::move(probe_));
}

void HostCheck::DropConnection() {
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->Reset();
  if (connection_ == nullptr) return;
  std::unique_ptr<ClientConnection> connection = std::move(connection_);
  if (connection->closed()) {
    shared_.dispatcher.DeferredDelete(std::move(connection));
  } else {
    shared_.lingering->Adopt(std::move(connection));
  }
}

void HostCheck::Begin() {
  asking_ = true;
  timeout_.Arm(config_.timeout);
  if (config_.kind == Kind::kTcp) {
    probe_ = std::make_unique<TcpProbe>(shared_, static_cast<TcpProbe::Owner&>(*this),
                                        host_.endpoint, config_.timeout);
    return probe_->Connect();
  }
  if (connection_ != nullptr && connection_->usable()) return Ask();
  DropConnection();
  ClientConnection::Options options;
  options.protocol = protocol_;
  options.endpoint = host_.endpoint;
  options.connect_timeout = connect_timeout_;
  // It lives from one check to the next.
  options.idle_timeout = 2 * (config_.interval + config_.interval_jitter + config_.timeout);
  connection_ = std::make_unique<ClientConnection>(
      shared_, static_cast<ClientConnection::Owner&>(*this), std::move(options));
  connection_->Connect();
}

void HostCheck::OnConnectionReady(ClientConnection&) {
  if (asking_) Ask();
}

void HostCheck::Ask() {
  status_ = 0;
  body_.clear();
  grpc_status_.clear();
  stream_ = connection_->NewStream(static_cast<http::ClientStream::Handler&>(*this));
  if (stream_ == nullptr) return Done(false, false, "it takes no requests on a new connection");
  http::RequestHead head;
  head.scheme = "http";
  head.authority = authority_;
  head.headers.Add("user-agent", "countersign-health-check");
  if (config_.kind == Kind::kHttp) {
    head.method = "GET";
    head.path = config_.path;
    return stream_->SendHeaders(head, true);
  }
  head.method = "POST";
  head.path = "/grpc.health.v1.Health/Check";
  head.headers.Add("content-type", "application/grpc");
  head.headers.Add("te", "trailers");
  stream_->SendHeaders(head, false);
  Buffer data;
  data.Append(GrpcRequest(config_.grpc_service));
  stream_->SendData(data, true);
}

void HostCheck::OnHeaders(http::ResponseHead& head, bool) {
  status_ = head.status;
  // An answer of trailers alone has its gRPC status here.
  if (const http::Field* field = head.headers.Find("grpc-status"); field != nullptr) {
    grpc_status_ = std::string(field->value);
  }
}

void HostCheck::OnData(Buffer& data, bool) {
  if (config_.kind == Kind::kGrpc && body_.size() < kMaxAnswer) {
    char bytes[kMaxAnswer];
    body_.append(bytes, data.CopyOut(bytes, kMaxAnswer - body_.size()));
  }
  data.Clear();
}

void HostCheck::OnTrailers(http::HeaderMap& trailers) {
  if (const http::Field* field = trailers.Find("grpc-status"); field != nullptr) {
    grpc_status_ = std::string(field->value);
  }
}

void HostCheck::OnEnd(http::StreamEnd end) {
  stream_ = nullptr;
  if (!asking_) return;
  if (end != http::StreamEnd::kFinished && status_ == 0) {
    return Done(false, false, "its answer broke off");
  }
  JudgeAnswer();
}

void HostCheck::JudgeAnswer() {
  if (config_.kind == Kind::kHttp) {
    if (status_ >= config_.status_begin && status_ < config_.status_end) {
      return Done(true, false, absl::StrCat("GET ", config_.path, " was answered with ", status_));
    }
    return Done(false, /*decisive=*/true,
                absl::StrCat("GET ", config_.path, " was answered with ", status_, " where [",
                             config_.status_begin, ", ", config_.status_end, ") is expected"));
  }
  if (status_ == 200 && (grpc_status_.empty() || grpc_status_ == "0") && IsServing(body_)) {
    return Done(true, false, "grpc.health.v1.Health/Check was answered with SERVING");
  }
  const std::string service =
      config_.grpc_service.empty() ? "the server" : absl::StrCat("`", config_.grpc_service, "`");
  if (status_ != 200 || (!grpc_status_.empty() && grpc_status_ != "0")) {
    return Done(false, false,
                absl::StrCat("grpc.health.v1.Health/Check of ", service, " ended with HTTP ",
                             status_, ", grpc-status ", grpc_status_));
  }
  Done(false, /*decisive=*/true, absl::StrCat("its gRPC health of ", service, " is not SERVING"));
}

void HostCheck::OnConnectionClosed(ClientConnection& connection, CloseReason,
                                   const std::string& explanation) {
  if (connection_.get() != &connection) return;
  shared_.dispatcher.DeferredDelete(std::move(connection_));
  // Between checks nothing is said by it.
  if (asking_) {
    Done(false, false,
         explanation.empty() ? "it closed the connection" : absl::StrCat("connect: ", explanation));
  }
}

void HostCheck::OnProbed(bool connected, const std::string& explanation) {
  Done(connected, false,
       connected ? "it accepts connections" : absl::StrCat("connect: ", explanation));
}

void HostCheck::OnTimeout() {
  asking_ = false;  // what ends now is no answer
  DropConnection();
  asking_ = true;
  Done(false, false, absl::StrCat("no answer within ", config_.timeout.count(), " ms"));
}

void HostCheck::Done(bool passed, bool decisive, std::string sentence) {
  if (!asking_) return;
  asking_ = false;
  timeout_.Cancel();
  if (probe_ != nullptr) {
    probe_->Cancel();
    shared_.dispatcher.DeferredDelete(std::move(probe_));
  }
  if (!passed && connection_ != nullptr && !decisive) {
    DropConnection();  // a new one may do better
  }
  const auto jitter = static_cast<uint32_t>(std::max<int64_t>(0, config_.interval_jitter.count()));
  next_.Arm(std::max(config_.interval, std::chrono::milliseconds(1)) +
            std::chrono::milliseconds(shared_.random.Below(jitter + 1)));
  passes_ = passed ? passes_ + 1 : 0;
  failures_ = passed ? 0 : failures_ + 1;
  const bool was_failed = failed_;
  if (passed) {
    if (!decided_ || passes_ >= config_.healthy_threshold) failed_ = false;
  } else if (!decided_ || decisive || failures_ >= config_.unhealthy_threshold) {
    failed_ = true;
  }
  decided_ = true;
  owner_.OnChecked(host_, passed);
  if (failed_ != was_failed) owner_.OnCheckChanged(host_, sentence);
}

}  // namespace countersign::upstream
