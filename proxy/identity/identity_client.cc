#include "proxy/identity/identity_client.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proxy/identity/certificate_request.h"
#include "proxy/identity/response_intake.h"
#include "proxy/stats/families.h"

namespace countersign::identity {
namespace {

constexpr char kMethod[] = "/countersign.identity.v1.IdentityService/StreamIdentity";
// The wall clock may jump (a suspended machine, NTP), so it is looked at this often at least.
constexpr absl::Duration kLongestSleep = absl::Minutes(1);
constexpr absl::Duration kShortestWait = absl::Milliseconds(50);
// Of the time until the renewal; the control plane's moment is only ever moved towards earlier.
constexpr double kRenewJitter = 0.2;
constexpr absl::Duration kRenewNowJitter = absl::Seconds(10);
// Readiness fails when less than this part of the certificate's life is left.
constexpr double kDegradedFraction = 1.0 / 6;
constexpr size_t kMaxMessageInLog = 512;

std::string RandomPrefix() {
  uint8_t bytes[6];
  if (RAND_bytes(bytes, sizeof bytes) != 1) {
    return "0";
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof bytes));
}

// Text from the other side, on one line of bounded length.
std::string Printable(absl::string_view text) {
  std::string line(text.substr(0, kMaxMessageInLog));
  for (char& c : line) {
    if (absl::ascii_iscntrl(c)) {
      c = ' ';
    }
  }
  return line;
}

std::string ReasonLabel(v1::Refusal::Reason reason) {
  const std::string& name = v1::Refusal::Reason_Name(reason);
  return name.empty() ? "unknown" : absl::AsciiStrToLower(name);
}

bool Fatal(v1::Refusal::Reason reason) {
  switch (reason) {
    case v1::Refusal::RATE_LIMITED:
    case v1::Refusal::AUTHORITY_UNAVAILABLE:
    case v1::Refusal::INTERNAL:
    case v1::Refusal::REASON_UNSPECIFIED:
      return false;
    default:
      return true;  // a reason that this version does not know must not be hammered on
  }
}

std::string CodeLabel(absl::StatusCode code) {
  return absl::AsciiStrToLower(absl::StatusCodeToString(code));
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::Time LastAuthorityExpiry(const spiffe::BundleSet& bundles, absl::string_view trust_domain) {
  absl::Time last = absl::InfinitePast();
  for (const spiffe::BundleSet::Bundle& bundle : bundles.bundles()) {
    if (bundle.trust_domain != trust_domain) {
      continue;
    }
    for (const std::string& der : bundle.authorities_der) {
      const auto* at = reinterpret_cast<const uint8_t*>(der.data());
      spiffe::X509Ptr cert(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
      std::tm tm{};
      if (cert != nullptr && ASN1_TIME_to_tm(X509_get0_notAfter(cert.get()), &tm) == 1) {
        last = std::max(last, absl::FromTM(tm, absl::UTCTimeZone()));
      }
    }
  }
  return last;
}

// `1h2m3s`, whole seconds: for people.
std::string Rounded(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1)));
}

}  // namespace

IdentityClient::IdentityClient(IdentityClientOptions options, ControlDialer& dialer,
                               SecretStore& store, event::TimerQueue& timers,
                               stats::Registry& stats)
    : options_(std::move(options)),
      dialer_(dialer),
      store_(store),
      timers_(timers),
      stats_(stats),
      connected_gauge_(stats.Get(stats::kIdentityConnected, {})),
      request_prefix_(RandomPrefix()),
      timer_(timers, this, [](void* self) { static_cast<IdentityClient*>(self)->OnTimer(); }) {}

IdentityClient::~IdentityClient() = default;

void IdentityClient::Start() { Connect(); }

bool IdentityClient::HasLiveSvid() const {
  return store_.Current() != nullptr && Now() < store_.Current()->not_after;
}

void IdentityClient::Connect() {
  DropStream();
  attempt_at_ = absl::InfiniteFuture();
  const std::shared_ptr<const SecretSnapshot>& current = store_.Current();
  const bool live = HasLiveSvid();
  ControlStreamParams params;
  params.method = kMethod;
  params.control_id = options_.control_id;
  v1::Attestation attestation;
  if (live) {
    params.bundles = current->bundles;
    params.deny_list = current->deny_list;
  } else {
    absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>> bundles = options_.bootstrap_bundles();
    if (!bundles.ok()) {
      last_error_ = std::string(bundles.status().message());
      ScheduleReconnect();
      return;
    }
    params.bundles = *std::move(bundles);
  }
  const bool token_next = !live || (svid_refused_ && options_.join_token != nullptr);
  if (!token_next) {
    evidence_ = Evidence::kSvid;
    params.client = current;
    attestation.mutable_svid();
  } else if (options_.join_token != nullptr) {
    evidence_ = Evidence::kJoinToken;
    absl::StatusOr<std::string> token = options_.join_token();
    if (!token.ok()) {
      last_error_ = std::string(token.status().message());
      ScheduleReconnect();
      return;
    }
    attestation.set_join_token(*token);
    OPENSSL_cleanse(token->data(), token->size());
  } else {
    last_error_ =
        "there is no certificate to prove who we are with, and no join token is configured; "
        "make one with `countersign-control token create` and name it with --join-token-file";
    spdlog::error("identity: {}", last_error_);
    ScheduleAttempt(options_.refused_retry);
    return;
  }
  stream_ = dialer_.Open(params, *this);
  SendRequest(current == nullptr ? "first" : "reconnect", &attestation);
  ArmTimer();
}

bool IdentityClient::SendRequest(const char* cause, v1::Attestation* attestation) {
  absl::StatusOr<CertificateRequest> made = NewCertificateRequest();
  if (!made.ok()) {
    last_error_ = std::string(made.status().message());
    ScheduleReconnect();
    return false;
  }
  pending_.id = absl::StrCat(request_prefix_, "-", ++requests_);
  pending_.key = std::move(made->key);
  pending_.cause = cause;
  pending_.deadline = Now() + options_.answer_timeout;
  renew_at_ = absl::InfiniteFuture();
  v1::IdentityRequest request;
  request.set_request_id(pending_.id);
  request.set_csr(std::move(made->csr));
  request.set_acked_version(stream_version_);
  const char* label = "none";
  if (attestation != nullptr) {
    label = attestation->has_join_token() ? "join_token" : "svid";
    request.mutable_attestation()->Swap(attestation);
  }
  stats_.Get(stats::kIdentityRequests, {label}).Add(1);
  spdlog::debug("identity: request {} ({}, attestation {})", pending_.id, cause, label);
  stream_->Send(request.SerializeAsString());
  if (request.attestation().has_join_token()) {
    std::string* token = request.mutable_attestation()->mutable_join_token();
    OPENSSL_cleanse(token->data(), token->size());
  }
  return true;
}

void IdentityClient::OnMessage(const std::string& message) {
  v1::IdentityResponse response;
  if (!response.ParseFromString(message)) {
    last_error_ = "the control plane sent a message that is no IdentityResponse";
    stats_.Get(stats::kIdentityRejected, {"unparsable"}).Add(1);
    DropStream();
    ScheduleReconnect();
    return;
  }
  const bool answers = pending_.key != nullptr && response.request_id() == pending_.id;
  if (response.has_refusal()) {
    if (answers || response.request_id().empty()) {
      OnRefusal(response);
    }
    return;
  }
  IntakeResult taken;
  if (response.version() <= stream_version_) {
    taken.rejected_label = "version_not_newer";
    taken.rejected_reason =
        absl::StrCat("its version ", response.version(), " is not newer than ", stream_version_);
  } else {
    taken = TakeResponse(response, {.current = store_.Current().get(),
                                    .key = answers ? pending_.key.get() : nullptr,
                                    .trust_domain = std::string(options_.control_id.trust_domain()),
                                    .now = Now()});
  }
  if (taken.rejected()) {
    stats_.Get(stats::kIdentityRejected, {taken.rejected_label}).Add(1);
    last_error_ = absl::StrCat("an answer of the control plane (correlation id ",
                               Printable(response.correlation_id()),
                               ") is not used: ", Printable(taken.rejected_reason));
    last_error_ += "; what is in force stays";
    DropStream();
    ScheduleReconnect();
    return;
  }
  stream_version_ = response.version();
  if (taken.next != nullptr) {
    OnAccepted(response, std::move(taken.next));
  }
  if (response.has_renew_now() || taken.own_certificate_invalid) {
    spdlog::info("identity: renewing now: {} (correlation id {})",
                 response.has_renew_now() ? Printable(response.renew_now().reason())
                                          : "our certificate does not chain to the new bundles",
                 Printable(response.correlation_id()));
    const absl::Duration left =
        store_.Current() != nullptr ? store_.Current()->not_after - Now() : absl::ZeroDuration();
    renew_at_ = std::min(
        renew_at_, Now() + Random() * std::clamp(left / 10, absl::ZeroDuration(), kRenewNowJitter));
    renew_cause_ = "requested";
  }
  if (stream_ != nullptr) {
    v1::IdentityRequest ack;
    ack.set_acked_version(stream_version_);
    stream_->Send(ack.SerializeAsString());
  }
  ArmTimer();
}

void IdentityClient::OnAccepted(const v1::IdentityResponse& response,
                                std::shared_ptr<const SecretSnapshot> next) {
  established_ = true;
  connected_gauge_.Set(1);
  failures_ = 0;
  last_error_.clear();
  if (response.has_svid()) {
    svid_refused_ = false;
    obtained_at_ = Now();
    stats_.Get(stats::kIdentityRotations, {pending_.cause}).Add(1);
    spdlog::info("identity: {} is in force until {} ({}; request {}, correlation id {})",
                 next->id.ToString(), absl::FormatTime(next->not_after, absl::UTCTimeZone()),
                 pending_.cause, pending_.id, Printable(response.correlation_id()));
    pending_ = Pending();
  } else {
    spdlog::info("identity: trust bundles of epoch {} and deny list of epoch {} are in force",
                 next->bundles->epoch(), next->deny_list->epoch());
  }
  stats_.Get(stats::kTrustBundleEpoch, {}).Set(next->bundles->epoch());
  stats_.Get(stats::kDenyListEpoch, {}).Set(next->deny_list->epoch());
  trust_anchors_until_ = LastAuthorityExpiry(*next->bundles, options_.control_id.trust_domain());
  store_.Publish(std::move(next));
  if (response.has_svid()) {
    PlanRenewal(response.svid());
  }
}

void IdentityClient::PlanRenewal(const v1::IssuedSvid& issued) {
  const SecretSnapshot& secret = *store_.Current();
  const absl::Time now = Now();
  absl::Time at = now + (secret.not_after - now) / 2;
  if (issued.has_renew_at() && ToTime(issued.renew_at()) < secret.not_after) {
    at = ToTime(issued.renew_at());
  }
  // A moment in the past would make a tight loop of a control plane's mistake.
  at = std::max(at, now + (secret.not_after - now) / 8);
  renew_at_ = at - Random() * kRenewJitter * (at - now);
  renew_cause_ = "renewal";
}

void IdentityClient::OnRefusal(const v1::IdentityResponse& response) {
  const v1::Refusal& refusal = response.refusal();
  const std::string label = ReasonLabel(refusal.reason());
  const bool fatal = Fatal(refusal.reason());
  stats_.Get(stats::kIdentityRefusals, {label}).Add(1);
  last_error_ = absl::StrCat("the control plane refused a certificate: ", label, ": ",
                             Printable(refusal.message()), " (request ",
                             pending_.id.empty() ? "none" : pending_.id, ", correlation id ",
                             Printable(response.correlation_id()), ")");
  pending_ = Pending();
  absl::Duration wait = FullJitter();
  if (refusal.has_retry_after()) {
    // At least what was asked for, and spread over as much again.
    const absl::Duration asked =
        std::clamp(ToDuration(refusal.retry_after()), absl::ZeroDuration(), absl::Hours(1));
    wait = asked * (1 + Random());
  }
  ++failures_;
  if (fatal) {
    const bool other_evidence = evidence_ == Evidence::kSvid && options_.join_token != nullptr;
    svid_refused_ = other_evidence;
    if (!other_evidence) {
      wait = std::max(wait, options_.refused_retry * (0.75 + 0.5 * Random()));
    }
    spdlog::error("identity: {}; {}", last_error_,
                  other_evidence ? "trying the join token next"
                                 : absl::StrCat("mend it; the next attempt is in ", Rounded(wait)));
  } else {
    spdlog::warn("identity: {}; the next attempt is in {}", last_error_,
                 absl::FormatDuration(wait));
  }
  if (established_ && !fatal) {
    renew_at_ = Now() + wait;  // the stream is good, only this request was not
    ArmTimer();
    return;
  }
  DropStream();
  ScheduleAttempt(wait);
}

void IdentityClient::OnClosed(const absl::Status& status) {
  stats_.Get(stats::kIdentityStreamFailures, {CodeLabel(status.code())}).Add(1);
  // A refusal has said more than the end of its stream, and has planned the next attempt.
  if (stream_ == nullptr) {
    return;
  }
  last_error_ =
      absl::StrCat("the identity stream to the control plane ended: ", Printable(status.message()));
  DropStream();
  ScheduleReconnect();
}

void IdentityClient::DropStream() {
  stream_.reset();
  established_ = false;
  connected_gauge_.Set(0);
  stream_version_ = 0;
  pending_ = Pending();
}

absl::Duration IdentityClient::FullJitter() {
  absl::Duration ceiling =
      std::min(options_.backoff_cap, options_.backoff_base * (1 << std::min(failures_, 10u)));
  if (HasLiveSvid()) {
    // Several attempts must fit into what is left, however long the outage has lasted.
    ceiling = std::min(ceiling, (store_.Current()->not_after - Now()) / 4);
  }
  return std::max(kShortestWait, Random() * ceiling);
}

void IdentityClient::ScheduleReconnect() {
  const absl::Duration wait = FullJitter();
  ++failures_;
  if (!last_error_.empty()) {
    spdlog::warn("identity: {}; the next attempt is in {}", last_error_,
                 absl::FormatDuration(wait));
  }
  ScheduleAttempt(wait);
}

void IdentityClient::ScheduleAttempt(absl::Duration wait) {
  attempt_at_ = Now() + wait;
  renew_at_ = absl::InfiniteFuture();
  ArmTimer();
}

void IdentityClient::ArmTimer() {
  const absl::Time next =
      std::min({attempt_at_, renew_at_,
                pending_.key != nullptr ? pending_.deadline : absl::InfiniteFuture()});
  const absl::Duration wait =
      std::clamp(next - Now(), absl::ZeroDuration(), kLongestSleep) + absl::Milliseconds(1);
  timer_.Arm(absl::ToChronoMilliseconds(wait));
}

void IdentityClient::OnTimer() {
  const absl::Time now = Now();
  if (attempt_at_ <= now) {
    Connect();
  } else if (pending_.key != nullptr && pending_.deadline <= now) {
    last_error_ = absl::StrCat("the control plane did not answer request ", pending_.id, " within ",
                               Rounded(options_.answer_timeout));
    stats_.Get(stats::kIdentityStreamFailures, {"no_answer"}).Add(1);
    DropStream();
    ScheduleReconnect();
  } else if (renew_at_ <= now) {
    if (stream_ != nullptr) {
      SendRequest(renew_cause_, nullptr);
    } else {
      Connect();
    }
  }
  ArmTimer();
}

std::string IdentityClient::NotReadyReason() const {
  const std::shared_ptr<const SecretSnapshot>& secret = store_.Current();
  const std::string why = last_error_.empty() ? "" : absl::StrCat(": ", last_error_);
  if (secret == nullptr) {
    return absl::StrCat("no certificate yet", why);
  }
  const absl::Duration left = secret->not_after - Now();
  if (left <= absl::ZeroDuration()) {
    return absl::StrCat("the certificate of ", secret->id.ToString(), " expired ", Rounded(-left),
                        " ago", why);
  }
  if (left < (secret->not_after - obtained_at_) * kDegradedFraction) {
    return absl::StrCat("the certificate of ", secret->id.ToString(), " expires in ", Rounded(left),
                        " and could not be renewed", why);
  }
  return "";
}

void IdentityClient::UpdateGauges() {
  const std::shared_ptr<const SecretSnapshot>& secret = store_.Current();
  if (secret == nullptr) {
    return;
  }
  stats_.Get(stats::kCertificateExpiry, {secret->id.ToString()})
      .Set(static_cast<uint64_t>(absl::ToInt64Seconds(secret->not_after - Now())));
  stats_.Get(stats::kCertificateNotAfter, {secret->id.ToString()})
      .Set(static_cast<uint64_t>(absl::ToUnixSeconds(secret->not_after)));
  if (trust_anchors_until_ != absl::InfinitePast()) {
    stats_.Get(stats::kTrustAnchorExpiry, {std::string(options_.control_id.trust_domain())})
        .Set(static_cast<uint64_t>(absl::ToInt64Seconds(trust_anchors_until_ - Now())));
  }
}

}  // namespace countersign::identity
