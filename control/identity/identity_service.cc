#include "control/identity/identity_service.h"

#include <grpcpp/grpcpp.h>
#include <openssl/rand.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "api/identity/v1/identity.grpc.pb.h"
#include "control/identity/request_check.h"

namespace countersign::control::identity {
namespace {

using countersign::identity::IsFatal;
using countersign::identity::OrRefused;
using countersign::identity::RefusalLabel;
using countersign::identity::Refused;
using countersign::identity::v1::Attestation;
using countersign::identity::v1::IdentityRequest;
using countersign::identity::v1::IdentityResponse;
using countersign::identity::v1::Refusal;
using Metrics = stats::IdentityMetrics;

constexpr absl::Duration kTick = absl::Milliseconds(100);
constexpr int kTicksPerSweep = 10;
constexpr int kMaxInline = 2;

// A view of the trust in the form that goes to proxies; made once a change, shared by all streams.
struct TrustMessages {
  spiffe::TrustView view;
  countersign::identity::v1::TrustBundles bundles;
  countersign::identity::v1::DenyList deny_list;
};

std::shared_ptr<const TrustMessages> MakeTrustMessages(spiffe::TrustView view) {
  auto messages = std::make_shared<TrustMessages>();
  messages->bundles.set_epoch(view.bundles->epoch());
  for (const auto& bundle : view.bundles->bundles()) {
    auto* out = messages->bundles.add_bundles();
    out->set_trust_domain(bundle.trust_domain);
    for (const std::string& der : bundle.authorities_der) out->add_authorities(der);
  }
  messages->deny_list.set_epoch(view.deny_list->epoch());
  for (const std::string& id : view.deny_list->ids()) {
    messages->deny_list.add_entries()->set_spiffe_id(id);
  }
  for (const auto& [issuer, serial] : view.deny_list->serials()) {
    auto* out = messages->deny_list.add_entries()->mutable_serial();
    out->set_issuer(issuer);
    out->set_serial(serial);
  }
  messages->view = std::move(view);
  return messages;
}

// Unique in the logs of all replicas.
std::string NewCorrelationId() {
  static const std::string* const process = [] {
    unsigned char random[4];
    RAND_bytes(random, sizeof(random));
    return new std::string(
        absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(random), 4)));
  }();
  static std::atomic<uint64_t> counter{0};
  return absl::StrCat(*process, "-", absl::Hex(++counter, absl::kZeroPad6));
}

void FillRefusal(const Refused& refused, Refusal* message) {
  message->set_reason(refused.reason);
  message->set_message(refused.message);
  if (refused.retry_after > absl::ZeroDuration()) {
    message->mutable_retry_after()->set_seconds(absl::ToInt64Seconds(refused.retry_after));
    message->mutable_retry_after()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(refused.retry_after % absl::Seconds(1))));
  }
}

// Uniform in [0, 1); spreads load, guards nothing.
double Jitter() {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

Refused Overloaded() {
  return {Refusal::RATE_LIMITED,
          "the control plane has more requests waiting than it can serve; try again later",
          absl::Seconds(1) + absl::Seconds(4) * Jitter()};
}

Refused Denied(const spiffe::SpiffeId& id) {
  return {Refusal::IDENTITY_DENIED,
          absl::StrCat(id.ToString(),
                       " or its certificate has been put on the deny list (IdentityRevocation)")};
}

const char* EvidenceLabel(Metrics::Evidence evidence) {
  switch (evidence) {
    case Metrics::Evidence::kJoinToken:
      return "join_token";
    case Metrics::Evidence::kSvid:
      return "svid";
    case Metrics::Evidence::kStream:
      return "stream";
  }
  return "unknown";
}

}  // namespace

// A request that waits for a thread.
struct IdentityService::Asked {
  std::shared_ptr<Stream> stream;
  std::unique_ptr<IdentityRequest> request;
  absl::Time arrived_at;
};

// The gRPC service, the set of its streams and the ticker.
class IdentityService::Handler final
    : public countersign::identity::v1::IdentityService::CallbackService {
 public:
  explicit Handler(const Options& options)
      : options_(options),
        messages_(MakeTrustMessages(options.trust.view())),
        work_(options.work,
              [this](Priority priority, std::vector<Asked> batch) { Serve(priority, batch); }),
        ticker_([this] { Tick(); }) {
    options.trust.OnChange([this] { OnTrustChange(); });
  }
  ~Handler() override {
    Shutdown();
    ticker_.join();
  }

  grpc::ServerBidiReactor<IdentityRequest, IdentityResponse>* StreamIdentity(
      grpc::CallbackServerContext* context) override;

  void AskForRenewal(const std::string& reason, absl::Duration spread);
  void OnTrustChange();
  void Shutdown();

  std::shared_ptr<const TrustMessages> messages() const {
    const std::lock_guard lock(mutex_);
    return messages_;
  }
  void Remove(const std::shared_ptr<Stream>& stream) {
    const std::lock_guard lock(mutex_);
    streams_.erase(stream);
    options_.metrics.StreamClosed();
  }

  const Options& options() const { return options_; }
  WorkQueue<Asked>& work() { return work_; }
  // Whether one more of gRPC's threads may sign.
  bool EnterInline() {
    if (inline_.fetch_add(1) < kMaxInline) return true;
    inline_.fetch_sub(1);
    return false;
  }
  void LeaveInline() { inline_.fetch_sub(1); }

 private:
  std::vector<std::shared_ptr<Stream>> Streams() const {
    const std::lock_guard lock(mutex_);
    return {streams_.begin(), streams_.end()};
  }
  void Tick();
  // On the queue's threads.
  void Serve(Priority priority, const std::vector<Asked>& batch);

  const Options options_;
  mutable std::mutex mutex_;  // of the next five
  std::condition_variable stop_;
  std::shared_ptr<const TrustMessages> messages_;
  absl::flat_hash_set<std::shared_ptr<Stream>> streams_;
  absl::Time renewals_until_ = absl::InfinitePast();
  bool stopping_ = false;
  std::atomic<int> inline_{0};
  WorkQueue<Asked> work_;
  std::thread ticker_;
};

// One proxy. Its callbacks come from gRPC one after another per kind, but reads, writes, the work
// queue and pushes meet here: everything is under the mutex. gRPC borrows it until OnDone; the
// handler's set and a job in progress own it.
//
// At most one request is being answered and one response being written; whatever else is to be
// sent is a flag, so that a slow proxy costs no memory and gets the latest state when it reads.
class IdentityService::Stream final
    : public grpc::ServerBidiReactor<IdentityRequest, IdentityResponse>,
      public std::enable_shared_from_this<Stream> {
 public:
  Stream(Handler& handler, grpc::CallbackServerContext* context)
      : handler_(handler), context_(context), opened_at_(absl::Now()) {}

  void Start() { StartRead(&incoming_); }
  void Reject(const grpc::Status& status) {
    const std::lock_guard lock(mutex_);
    End(status);
  }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { Reject(grpc::Status::CANCELLED); }
  void OnDone() override { handler_.Remove(shared_from_this()); }

  struct PeerCertificate {
    std::string leaf_pem;
    std::string chain_pem;
  };
  // The evidence below `request`. False when nobody waits for an answer any more.
  bool GetPeer(const IdentityRequest& request, PeerCertificate* peer);
  // Signs and answers; for streams that are attested.
  void Renew(const IdentityRequest& request, absl::Time arrived_at);
  void Answer(const IdentityRequest& request, absl::Time arrived_at, Metrics::Evidence evidence,
              OrRefused<Granted> result);

  void OnTrustChange();
  // Asks for a new CSR at `due`.
  void RenewAt(absl::Time due, const std::string& reason);
  void OnTick(absl::Time now);

 private:
  // From here on to End: the caller holds mutex_.
  bool attested() const { return !svid_.id.empty(); }

  // Handles a message or the end of them. A request that this thread is to answer itself, once it
  // has let go of the mutex, comes back in `inline_request`.
  void TakeRequest(bool ok, absl::Time arrived_at,
                   std::unique_ptr<IdentityRequest>& inline_request);
  void Acknowledge(uint64_t version);
  void Refuse(const std::string& request_id, const Refused& refused);
  // Writes what there is to write, if nothing is being written.
  void Pump();
  bool AddTrust(const TrustMessages& trust, IdentityResponse* response);
  void End(const grpc::Status& status);

  Handler& handler_;
  grpc::CallbackServerContext* const context_;
  const absl::Time opened_at_;
  IdentityRequest incoming_;

  std::mutex mutex_;  // of all that follows
  std::unique_ptr<IdentityResponse> answer_;
  std::unique_ptr<IdentityResponse> writing_;
  Svid svid_;
  uint64_t version_ = 0;
  uint64_t sent_bundles_ = 0;
  uint64_t sent_deny_list_ = 0;
  bool sent_trust_ = false;
  // The push whose acknowledgement is awaited, and what led to it.
  uint64_t measured_version_ = 0;
  absl::Time measured_event_;
  absl::Time renew_due_ = absl::InfiniteFuture();
  std::string renew_reason_;
  bool renew_now_ = false;
  bool end_after_write_ = false;
  bool ended_ = false;
};

void IdentityService::Stream::OnReadDone(bool ok) {
  const absl::Time arrived_at = absl::Now();
  std::unique_ptr<IdentityRequest> inline_request;
  {
    const std::lock_guard lock(mutex_);
    TakeRequest(ok, arrived_at, inline_request);
  }
  if (inline_request == nullptr) return;
  Renew(*inline_request, arrived_at);
  handler_.LeaveInline();
}

void IdentityService::Stream::TakeRequest(bool ok, absl::Time arrived_at,
                                          std::unique_ptr<IdentityRequest>& inline_request) {
  if (ended_ || end_after_write_) return;
  // The proxy has closed its side: it wants nothing more.
  if (!ok) return End(grpc::Status::OK);

  const std::optional<Refused> malformed =
      CheckRequest(incoming_, {.attested = attested(), .last_version = version_});
  if (malformed.has_value()) {
    // An identifier that broke its own rule is not repeated.
    const bool known = incoming_.request_id().size() <= kMaxRequestIdBytes &&
                       malformed->message.rfind("request_id", 0) != 0;
    return Refuse(known ? incoming_.request_id() : "", *malformed);
  }
  if (incoming_.acked_version() > 0) Acknowledge(incoming_.acked_version());
  if (incoming_.csr().empty()) {
    incoming_.Clear();
    StartRead(&incoming_);
    return;
  }
  const Priority priority = attested() ? Priority::kRenewal
                            : incoming_.attestation().kind_case() == Attestation::kJoinToken
                                ? Priority::kJoin
                                : Priority::kReattest;
  // No further read is started until this request is answered: that is the flow control.
  auto request = std::make_unique<IdentityRequest>();
  request->Swap(&incoming_);
  // A renewal is a signature and waits for nothing: while few are under way it is done here, which
  // saves waking a thread. Beyond that, and for whatever may touch the disk, there is the queue.
  if (priority == Priority::kRenewal && handler_.EnterInline()) {
    inline_request = std::move(request);
    return;
  }
  Asked asked{shared_from_this(), std::move(request), arrived_at};
  if (!handler_.work().Submit(priority, std::move(asked))) {
    Refuse(asked.request->request_id(), Overloaded());
  }
}

void IdentityService::Stream::Renew(const IdentityRequest& request, absl::Time arrived_at) {
  Svid last;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    last = svid_;
  }
  Answer(request, arrived_at, Metrics::Evidence::kStream,
         handler_.options().issuer.Renew(request, last));
}

bool IdentityService::Stream::GetPeer(const IdentityRequest& request, PeerCertificate* peer) {
  const std::lock_guard lock(mutex_);
  if (ended_) return false;
  if (!request.attestation().has_svid()) return true;
  const auto auth = context_->auth_context();
  const auto first = [&auth](const char* name) {
    const auto values = auth->FindPropertyValues(name);
    return values.empty() ? std::string() : std::string(values[0].data(), values[0].size());
  };
  peer->leaf_pem = first(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  peer->chain_pem = first(GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME);
  return true;
}

void IdentityService::Stream::Answer(const IdentityRequest& request, absl::Time arrived_at,
                                     Metrics::Evidence evidence, OrRefused<Granted> result) {
  const std::lock_guard lock(mutex_);
  // The identity may have been denied meanwhile.
  if (ended_ || end_after_write_) return;
  if (const auto* refused = std::get_if<Refused>(&result)) {
    return Refuse(request.request_id(), *refused);
  }
  Granted& granted = std::get<Granted>(result);
  // A change between the issuer's look at the deny list and here did not find this stream attested.
  if (handler_.messages()->view.deny_list->Denies(granted.svid.id, granted.svid.issuer,
                                                  granted.svid.serial)) {
    return Refuse(request.request_id(), Denied(granted.svid.id));
  }
  svid_ = std::move(granted.svid);
  renew_now_ = false;
  renew_due_ = absl::InfiniteFuture();
  answer_ = std::make_unique<IdentityResponse>();
  answer_->set_request_id(request.request_id());
  answer_->set_correlation_id(NewCorrelationId());
  *answer_->mutable_svid() = std::move(granted.message);
  handler_.options().metrics.CountIssued(evidence, absl::Now() - arrived_at);
  if (spdlog::should_log(spdlog::level::info)) {
    spdlog::info(
        "issued spiffe_id={} serial={} not_after={} evidence={} request_id={} correlation_id={} "
        "peer={}",
        svid_.id.ToString(), absl::BytesToHexString(svid_.serial),
        absl::FormatTime(absl::RFC3339_sec, svid_.not_after, absl::UTCTimeZone()),
        EvidenceLabel(evidence), request.request_id(), answer_->correlation_id(), context_->peer());
  }
  Pump();
  StartRead(&incoming_);
}

void IdentityService::Stream::Refuse(const std::string& request_id, const Refused& refused) {
  handler_.options().metrics.CountRefused(refused.reason);
  answer_ = std::make_unique<IdentityResponse>();
  answer_->set_request_id(request_id);
  answer_->set_correlation_id(NewCorrelationId());
  FillRefusal(refused, answer_->mutable_refusal());
  spdlog::warn("refused reason={} spiffe_id={} request_id={} correlation_id={} peer={}: {}",
               RefusalLabel(refused.reason), attested() ? svid_.id.ToString() : "none", request_id,
               answer_->correlation_id(), context_->peer(), refused.message);
  const bool fatal = IsFatal(refused.reason);
  end_after_write_ = fatal;
  Pump();
  if (!fatal) StartRead(&incoming_);
}

void IdentityService::Stream::Acknowledge(uint64_t version) {
  if (measured_version_ == 0 || version < measured_version_) return;
  handler_.options().metrics.ObserveAck(absl::Now() - measured_event_);
  measured_version_ = 0;
}

bool IdentityService::Stream::AddTrust(const TrustMessages& trust, IdentityResponse* response) {
  bool added = false;
  if (!sent_trust_ || sent_bundles_ != trust.bundles.epoch()) {
    *response->mutable_trust_bundles() = trust.bundles;
    sent_bundles_ = trust.bundles.epoch();
    if (sent_trust_) handler_.options().metrics.CountPush(Metrics::Push::kBundles);
    added = true;
  }
  if (!sent_trust_ || sent_deny_list_ != trust.deny_list.epoch()) {
    *response->mutable_deny_list() = trust.deny_list;
    sent_deny_list_ = trust.deny_list.epoch();
    if (sent_trust_) handler_.options().metrics.CountPush(Metrics::Push::kDenyList);
    added = true;
  }
  if (added && sent_trust_) {
    measured_version_ = version_ + 1;
    measured_event_ = trust.view.changed_at;
  }
  sent_trust_ = true;
  return added;
}

void IdentityService::Stream::Pump() {
  if (writing_ != nullptr || ended_) return;
  std::unique_ptr<IdentityResponse> response = std::move(answer_);
  bool something = response != nullptr;
  if (response == nullptr) response = std::make_unique<IdentityResponse>();
  if (attested() && !response->has_refusal()) {
    if (AddTrust(*handler_.messages(), response.get())) something = true;
    if (renew_now_) {
      response->mutable_renew_now()->set_reason(renew_reason_);
      renew_now_ = false;
      handler_.options().metrics.CountPush(Metrics::Push::kRenewNow);
      something = true;
    }
  }
  if (!something) {
    if (end_after_write_) End(grpc::Status::OK);
    return;
  }
  response->set_version(++version_);
  writing_ = std::move(response);
  StartWrite(writing_.get());
}

void IdentityService::Stream::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = nullptr;
  if (!ok) return End(grpc::Status::CANCELLED);
  if (end_after_write_ && answer_ == nullptr) return End(grpc::Status::OK);
  Pump();
}

void IdentityService::Stream::OnTrustChange() {
  const std::lock_guard lock(mutex_);
  if (ended_ || !attested()) return;
  const std::shared_ptr<const TrustMessages> trust = handler_.messages();
  if (!end_after_write_ && trust->view.deny_list->Denies(svid_.id, svid_.issuer, svid_.serial)) {
    return Refuse("", Denied(svid_.id));
  }
  Pump();
}

void IdentityService::Stream::RenewAt(absl::Time due, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  // Asked again, it is not put off.
  if (due >= renew_due_) return;
  renew_due_ = due;
  renew_reason_ = reason;
}

void IdentityService::Stream::OnTick(absl::Time now) {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  if (!attested()) {
    if (now > opened_at_ + handler_.options().attestation_timeout) {
      End({grpc::StatusCode::DEADLINE_EXCEEDED,
           "no certificate was asked for and granted in time; open another stream"});
    }
    return;
  }
  if (now >= renew_due_) {
    renew_due_ = absl::InfiniteFuture();
    renew_now_ = true;
    Pump();
  }
}

void IdentityService::Stream::End(const grpc::Status& status) {
  if (ended_) return;
  ended_ = true;
  Finish(status);
}

grpc::ServerBidiReactor<IdentityRequest, IdentityResponse>*
IdentityService::Handler::StreamIdentity(grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<Stream>(*this, context);
  bool full;
  bool stopping;
  {
    const std::lock_guard lock(mutex_);
    stopping = stopping_;
    full = streams_.size() >= options_.max_streams;
    streams_.insert(stream);
    options_.metrics.StreamOpened();
  }
  if (stopping) {
    stream->Reject({grpc::StatusCode::UNAVAILABLE, "the control plane is shutting down"});
  } else if (full) {
    stream->Reject({grpc::StatusCode::RESOURCE_EXHAUSTED,
                    "the control plane holds as many identity streams as it may; try later"});
  } else {
    stream->Start();
  }
  return stream.get();
}

void IdentityService::Handler::Serve(Priority priority, const std::vector<Asked>& batch) {
  if (priority == Priority::kRenewal) {
    for (const Asked& asked : batch) asked.stream->Renew(*asked.request, asked.arrived_at);
    return;
  }
  std::vector<Stream::PeerCertificate> peers(batch.size());
  std::vector<Newcomer> newcomers;
  std::vector<const Asked*> asking;
  newcomers.reserve(batch.size());
  asking.reserve(batch.size());
  for (size_t i = 0; i < batch.size(); ++i) {
    // A proxy that has left would not get what its token is good for.
    if (!batch[i].stream->GetPeer(*batch[i].request, &peers[i])) continue;
    newcomers.push_back({*batch[i].request, peers[i].leaf_pem, peers[i].chain_pem});
    asking.push_back(&batch[i]);
  }
  const Metrics::Evidence evidence =
      priority == Priority::kJoin ? Metrics::Evidence::kJoinToken : Metrics::Evidence::kSvid;
  options_.issuer.Attest(newcomers, [&](size_t index, OrRefused<Granted> result) {
    const Asked& asked = *asking[index];
    asked.stream->Answer(*asked.request, asked.arrived_at, evidence, std::move(result));
  });
}

void IdentityService::Handler::OnTrustChange() {
  // A change may overtake another: the messages are always made from the view in force.
  auto messages = MakeTrustMessages(options_.trust.view());
  {
    const std::lock_guard lock(mutex_);
    messages_ = std::move(messages);
  }
  for (const auto& stream : Streams()) stream->OnTrustChange();
}

void IdentityService::Handler::AskForRenewal(const std::string& reason, absl::Duration spread) {
  const absl::Time now = absl::Now();
  {
    const std::lock_guard lock(mutex_);
    renewals_until_ = std::max(renewals_until_, now + spread + absl::Seconds(1));
  }
  for (const auto& stream : Streams()) {
    stream->RenewAt(now + spread * Jitter(), reason);
  }
}

void IdentityService::Handler::Tick() {
  for (int tick = 1;; ++tick) {
    bool renewals;
    {
      std::unique_lock lock(mutex_);
      stop_.wait_for(lock, absl::ToChronoMilliseconds(kTick), [this] { return stopping_; });
      if (stopping_) return;
      renewals = absl::Now() < renewals_until_;
    }
    if (!renewals && tick % kTicksPerSweep != 0) continue;
    const absl::Time now = absl::Now();
    for (const auto& stream : Streams()) stream->OnTick(now);
  }
}

void IdentityService::Handler::Shutdown() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_.notify_all();
  }
  work_.Stop();
  for (const auto& stream : Streams()) {
    stream->Reject({grpc::StatusCode::UNAVAILABLE, "the control plane is shutting down"});
  }
}

IdentityService::IdentityService(const Options& options)
    : handler_(std::make_unique<Handler>(options)) {}
IdentityService::~IdentityService() = default;

grpc::Service* IdentityService::grpc_service() { return handler_.get(); }
void IdentityService::AskForRenewal(const std::string& reason, absl::Duration spread) {
  handler_->AskForRenewal(reason, spread);
}
void IdentityService::Shutdown() { handler_->Shutdown(); }

}  // namespace countersign::control::identity
