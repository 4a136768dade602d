#include "control/ads/ads_server.h"

#include <google/protobuf/io/coded_stream.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/xds/discovery.grpc.pb.h"
#include "control/ads/ads_metrics.h"
#include "control/ads/authorization.h"
#include "control/ads/delta_session.h"
#include "control/ads/resource_hub.h"

namespace countersign::control::ads {
namespace {

using envoy::service::discovery::v3::AggregatedDiscoveryService;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;

constexpr size_t kMaxRequestBytes = 2 << 20;
constexpr int kLoggedRefusalsPerSecond = 20;

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

std::string Property(const grpc::AuthContext* context, const char* name) {
  if (context == nullptr) {
    return "";
  }
  const std::vector<grpc::string_ref> values = context->FindPropertyValues(name);
  return values.empty() ? "" : std::string(values[0].data(), values[0].size());
}

// A slice over bytes that all streams share; holds them until gRPC has sent them.
grpc::Slice Share(std::shared_ptr<const compile::Compiled> resource) {
  auto* holder = new std::shared_ptr<const compile::Compiled>(std::move(resource));
  const std::string& bytes = (*holder)->bytes;
  return grpc::Slice(
      const_cast<char*>(bytes.data()), bytes.size(),
      [](void* data) { delete static_cast<std::shared_ptr<const compile::Compiled>*>(data); },
      holder);
}

// DeltaDiscoveryResponse.resources is field 2: each is a tag, a length and the shared bytes.
grpc::ByteBuffer Encode(const DeltaSession::Frame& frame) {
  std::vector<grpc::Slice> slices;
  slices.reserve(1 + 2 * frame.resources.size());
  slices.emplace_back(frame.head);
  for (const std::shared_ptr<const compile::Compiled>& resource : frame.resources) {
    uint8_t prefix[11] = {0x12};
    uint8_t* end = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(
        resource->bytes.size(), prefix + 1);
    slices.emplace_back(prefix, end - prefix);
    slices.push_back(Share(resource));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace

// Raw messages, so that a response is put together from shared slices and a request is measured
// before it is parsed.
class AdsServer::Service final
    : public AggregatedDiscoveryService::WithRawCallbackMethod_DeltaAggregatedResources<
          AggregatedDiscoveryService::Service> {
 public:
  Service(TrustSource trust, prometheus::Registry& registry)
      : trust_(std::move(trust)), metrics_(registry), sweeper_([this] { Sweep(); }) {}

  ~Service() override {
    Shutdown();
    sweeper_.join();
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* DeltaAggregatedResources(
      grpc::CallbackServerContext* context) override {
    auto* stream = new Stream(*this, *context);
    stream->Start();
    return stream;
  }

  void OnModel(std::shared_ptr<const registry::Model> model) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (hub_.compiler() != nullptr && model->version() <= hub_.compiler()->model().version()) {
      return;  // overtaken by another thread that tells the same news
    }
    const absl::Time begin = absl::Now();
    hub_.SetModel(std::move(model));
    metrics_.Compiled(absl::Now() - begin, hub_.size());
    for (Stream* stream : streams_) {
      stream->OnModel();
    }
  }

  void OnTrustChanged() {
    const Trust trust = trust_();
    std::lock_guard<std::mutex> lock(mutex_);
    for (Stream* stream : streams_) {
      stream->OnTrust(trust);
    }
  }

  void Shutdown() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (std::exchange(shut_down_, true)) {
      return;
    }
    for (Stream* stream : streams_) {
      stream->End(absl::UnavailableError("the control plane is going down; connect again"));
    }
    wake_.notify_all();
  }

 private:
  // Between the two locks of gRPC's calls into us: every reaction takes the service's mutex, none
  // is made under gRPC's own.
  class Stream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
   public:
    Stream(Service& service, grpc::CallbackServerContext& context)
        : service_(service), context_(context) {}

    void Start() {
      absl::StatusOr<spiffe::PeerSvid> svid = Verify(service_.trust_());
      std::lock_guard<std::mutex> lock(service_.mutex_);
      service_.streams_.insert(this);
      if (!svid.ok()) {
        Refuse("unauthenticated", svid.status());
        return;
      }
      svid_ = *std::move(svid);
      if (service_.shut_down_) {
        Refuse("shutting_down", absl::UnavailableError("the control plane is going down"));
        return;
      }
      expiry_ = service_.expiries_.emplace(svid_.not_after, this);
      service_.wake_.notify_all();
      StartRead(&incoming_);
    }

    void OnReadDone(bool ok) override {
      DeltaDiscoveryRequest request;
      const absl::Status parsed = ok ? Parse(&request) : absl::OkStatus();
      std::lock_guard<std::mutex> lock(service_.mutex_);
      if (finished_ || ending_.has_value()) {
        return;
      }
      if (!ok) {
        End(absl::OkStatus());
        return;
      }
      if (!parsed.ok()) {
        End(parsed);
        return;
      }
      if (!session_.has_value() && !Open(request)) {
        return;
      }
      if (const absl::Status status = session_->OnRequest(request, absl::Now()); !status.ok()) {
        spdlog::warn("the configuration stream of {} ({}) ends: {}", session_->proxy(),
                     svid_.id.ToString(), std::string(status.message()));
        End(status);
        return;
      }
      Pump();
      StartRead(&incoming_);
    }

    void OnWriteDone(bool ok) override {
      std::lock_guard<std::mutex> lock(service_.mutex_);
      writing_ = false;
      outgoing_.Clear();
      if (ending_.has_value()) {
        FinishOnce(*ending_);
      } else if (ok) {
        Pump();
      }  // else the pending read fails too
    }

    void OnCancel() override {
      std::lock_guard<std::mutex> lock(service_.mutex_);
      End(absl::CancelledError("cancelled"));
    }

    void OnDone() override {
      {
        std::lock_guard<std::mutex> lock(service_.mutex_);
        if (session_.has_value()) {
          session_.reset();
          service_.metrics_.StreamClosed();
        }
        if (expiry_.has_value()) {
          service_.expiries_.erase(*expiry_);
        }
        service_.streams_.erase(this);
      }
      delete this;
    }

    // All below: with the service's mutex held.

    void OnModel() {
      if (!session_.has_value() || ending_.has_value()) {
        return;
      }
      absl::StatusOr<std::string> proxy =
          AuthorizeNode(service_.hub_.compiler()->model(), session_->proxy(), svid_.id);
      if (!proxy.ok()) {
        spdlog::warn("the configuration stream of {} ends: {}", svid_.id.ToString(),
                     std::string(proxy.status().message()));
        End(proxy.status());
        return;
      }
      session_->OnModel();
      Pump();
    }

    void OnTrust(const Trust& trust) {
      if (ending_.has_value()) {
        return;
      }
      absl::StatusOr<spiffe::PeerSvid> svid = Verify(trust);
      if (!svid.ok()) {
        spdlog::warn("the configuration stream of {} ends: {}", svid_.id.ToString(),
                     std::string(svid.status().message()));
        End(svid.status());
      }
    }

    // The sweeper has taken the entry out.
    void OnExpired() {
      expiry_.reset();
      End(absl::UnauthenticatedError(absl::StrCat("the certificate of ", svid_.id.ToString(),
                                                  " has expired; connect with the new one")));
    }

    void End(const absl::Status& status) {
      if (finished_ || ending_.has_value()) {
        return;
      }
      ending_ = ToGrpc(status);
      if (writing_) {
        // The peer may never read what is being written: do not wait for it.
        context_.TryCancel();
      } else {
        FinishOnce(*ending_);
      }
    }

   private:
    // From the certificates of the TLS connection, which gRPC keeps for its life.
    absl::StatusOr<spiffe::PeerSvid> Verify(const Trust& trust) const {
      const std::shared_ptr<const grpc::AuthContext> auth = context_.auth_context();
      return VerifyPeer(Property(auth.get(), GRPC_X509_PEM_CERT_PROPERTY_NAME),
                        Property(auth.get(), GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME),
                        *trust.bundles, *trust.deny_list, absl::Now());
    }

    absl::Status Parse(DeltaDiscoveryRequest* request) {
      if (incoming_.Length() > kMaxRequestBytes) {
        return absl::ResourceExhaustedError(absl::StrCat("a request of ", incoming_.Length(),
                                                         " bytes; at most ", kMaxRequestBytes,
                                                         " are taken"));
      }
      std::vector<grpc::Slice> slices;
      std::string bytes;
      if (incoming_.Dump(&slices).ok()) {
        bytes.reserve(incoming_.Length());
        for (const grpc::Slice& slice : slices) {
          bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
        }
      }
      incoming_.Clear();
      if (!request->ParseFromString(bytes)) {
        return absl::InvalidArgumentError("the request is no DeltaDiscoveryRequest");
      }
      return absl::OkStatus();
    }

    bool Open(const DeltaDiscoveryRequest& request) {
      if (service_.hub_.compiler() == nullptr) {
        Refuse("no_configuration",
               absl::UnavailableError("no configuration is in force yet: the control plane's log "
                                      "says what is wrong with it"));
        return false;
      }
      absl::StatusOr<std::string> proxy =
          AuthorizeNode(service_.hub_.compiler()->model(), request.node().id(), svid_.id);
      if (!proxy.ok()) {
        Refuse("permission_denied", proxy.status());
        return false;
      }
      session_.emplace(*proxy, absl::StrCat(*proxy, " (", svid_.id.ToString(), ")"),
                       DeltaSession::Limits(), service_.hub_, service_.metrics_);
      service_.metrics_.StreamOpened();
      spdlog::info("{} ({}) opens a configuration stream from {}", *proxy, svid_.id.ToString(),
                   context_.peer());
      return true;
    }

    void Refuse(const char* reason, const absl::Status& status) {
      service_.metrics_.StreamRefused(reason);
      if (service_.MayLogRefusal()) {
        spdlog::warn("a configuration stream from {} is refused: {}", context_.peer(),
                     std::string(status.message()));
      }
      End(status);
    }

    void Pump() {
      if (writing_ || finished_ || ending_.has_value() || !session_.has_value()) {
        return;
      }
      if (std::optional<DeltaSession::Frame> frame = session_->NextFrame()) {
        outgoing_ = Encode(*frame);
        writing_ = true;
        StartWrite(&outgoing_);
      }
    }

    void FinishOnce(const grpc::Status& status) {
      if (!std::exchange(finished_, true)) {
        Finish(status);
      }
    }

    Service& service_;
    grpc::CallbackServerContext& context_;
    spiffe::PeerSvid svid_;
    grpc::ByteBuffer incoming_;
    grpc::ByteBuffer outgoing_;
    std::optional<DeltaSession> session_;
    std::optional<std::multimap<absl::Time, Stream*>::iterator> expiry_;
    bool writing_ = false;
    bool finished_ = false;
    std::optional<grpc::Status> ending_;
  };

  // Anybody can be refused as often as they like: the counter counts all, the log takes some.
  bool MayLogRefusal() {
    const absl::Time now = absl::Now();
    if (now - refusals_since_ >= absl::Seconds(1)) {
      refusals_since_ = now;
      refusals_logged_ = 0;
    }
    return ++refusals_logged_ <= kLoggedRefusalsPerSecond;
  }

  // Ends streams whose certificates have expired.
  void Sweep() {
    pthread_setname_np(pthread_self(), "ads-expiry");
    std::unique_lock<std::mutex> lock(mutex_);
    while (!shut_down_) {
      const absl::Time now = absl::Now();
      while (!expiries_.empty() && expiries_.begin()->first <= now) {
        Stream* stream = expiries_.begin()->second;
        expiries_.erase(expiries_.begin());
        stream->OnExpired();
      }
      const absl::Duration wait = expiries_.empty()
                                      ? absl::Minutes(1)
                                      : std::min(absl::Minutes(1), expiries_.begin()->first - now);
      wake_.wait_for(lock, absl::ToChronoMilliseconds(wait) + std::chrono::milliseconds(1));
    }
  }

  const TrustSource trust_;
  AdsMetrics metrics_;
  std::mutex mutex_;  // guards everything below
  std::condition_variable wake_;
  ResourceHub hub_;
  std::unordered_set<Stream*> streams_;
  std::multimap<absl::Time, Stream*> expiries_;
  absl::Time refusals_since_ = absl::InfinitePast();
  int refusals_logged_ = 0;
  bool shut_down_ = false;
  std::thread sweeper_;
};

AdsServer::AdsServer(TrustSource trust, prometheus::Registry& metrics)
    : service_(std::make_unique<Service>(std::move(trust), metrics)) {}
AdsServer::~AdsServer() = default;
grpc::Service* AdsServer::service() { return service_.get(); }
void AdsServer::OnModel(std::shared_ptr<const registry::Model> model) {
  service_->OnModel(std::move(model));
}
void AdsServer::OnTrustChanged() { service_->OnTrustChanged(); }
void AdsServer::Shutdown() { service_->Shutdown(); }

}  // namespace countersign::control::ads
