#ifndef COUNTERSIGN_PROXY_IDENTITY_IDENTITY_CLIENT_H_
#define COUNTERSIGN_PROXY_IDENTITY_IDENTITY_CLIENT_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/identity/v1/identity.pb.h"
#include "proxy/event/timer_queue.h"
#include "proxy/identity/control_stream.h"
#include "proxy/identity/secret_store.h"
#include "proxy/stats/registry.h"

namespace countersign::identity {

struct IdentityClientOptions {
  spiffe::SpiffeId control_id;  // its trust domain is ours too
  // Read anew whenever there is no certificate to go on with, so that a person can mend either
  // file.
  std::function<absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>>()> bootstrap_bundles;
  // Null: no join token is configured.
  std::function<absl::StatusOr<std::string>()> join_token;
  // Uniform in [0, 1): jitter.
  std::function<double()> random;
  absl::Duration answer_timeout = absl::Seconds(20);
  absl::Duration backoff_base = absl::Seconds(1);
  absl::Duration backoff_cap = absl::Seconds(30);
  // After a refusal that the same evidence cannot overcome.
  absl::Duration refused_retry = absl::Minutes(2);
};

// Gets the proxy's certificate and keeps it fresh: opens the identity stream, attests by join token
// or by the SVID in force, renews with a new key at the moment that the control plane named
// (half-life by default) less jitter, and puts pushed bundles and deny lists in force. What arrives
// is verified before it is published, whole or not at all.
//
// Every wait carries jitter: full jitter for retries, so that ten thousand proxies which lost the
// control plane at once do not come back at once. Retries come sooner than the back-off when the
// certificate has little life left.
//
// Thread: main. Lifetime: the process's; `store`, `dialer`, `timers` and `stats` outlive it.
class IdentityClient final : public ControlStream::Handler {
 public:
  IdentityClient(IdentityClientOptions options, ControlDialer& dialer, SecretStore& store,
                 event::TimerQueue& timers, stats::Registry& stats);
  ~IdentityClient() override;

  void Start();

  // Empty when the proxy can prove who it is for some time to come; otherwise a sentence. Degrades
  // before the certificate expires: when renewals have failed for so long that a sixth of the
  // certificate's life is left.
  std::string NotReadyReason() const;
  // Sets the gauges that depend on the time; call before a scrape.
  void UpdateGauges();

  bool connected() const { return established_; }
  absl::Time renew_at() const { return renew_at_; }
  // Why the last attempt failed; empty after a success.
  const std::string& last_error() const { return last_error_; }

  void OnMessage(const std::string& message) override;
  void OnClosed(const absl::Status& status) override;

 private:
  // A request that waits for its answer.
  struct Pending {
    std::string id;
    spiffe::EvpPkeyPtr key;
    const char* cause = nullptr;  // the label of countersign_identity_rotations_total
    absl::Time deadline;
  };
  enum class Evidence : uint8_t { kNone, kJoinToken, kSvid };

  void OnTimer();
  void Connect();
  // False if no request could be made; a retry is scheduled then.
  bool SendRequest(const char* cause, v1::Attestation* attestation);
  void OnRefusal(const v1::IdentityResponse& response);
  void OnAccepted(const v1::IdentityResponse& response, std::shared_ptr<const SecretSnapshot> next);
  void PlanRenewal(const v1::IssuedSvid& issued);
  void DropStream();
  // Opens a stream after a jittered wait that grows with each failure in a row.
  void ScheduleReconnect();
  void ScheduleAttempt(absl::Duration wait);
  void ArmTimer();

  bool HasLiveSvid() const;
  absl::Time Now() const { return timers_.clock().Wall(); }
  absl::Duration FullJitter();
  double Random() { return options_.random(); }

  const IdentityClientOptions options_;
  ControlDialer& dialer_;
  SecretStore& store_;
  event::TimerQueue& timers_;
  stats::Registry& stats_;
  stats::Cell& connected_gauge_;

  std::unique_ptr<ControlStream> stream_;
  bool established_ = false;     // this stream has given an answer that is in force
  uint64_t stream_version_ = 0;  // of the last response of this stream
  Pending pending_;
  Evidence evidence_ = Evidence::kNone;  // what this stream attested with
  // The control plane refused our SVID for good: the join token is next.
  bool svid_refused_ = false;
  uint64_t requests_ = 0;
  const std::string request_prefix_;
  uint32_t failures_ = 0;
  std::string last_error_;

  // When the certificate in force came. Its own notBefore is back-dated for clock skew, by more
  // than the whole life of a short-lived one, so it says nothing about the life that we have of it.
  absl::Time obtained_at_ = absl::InfinitePast();
  // When the last authority of our own trust domain expires.
  absl::Time trust_anchors_until_ = absl::InfinitePast();
  // Of the wall clock; InfiniteFuture: not planned.
  absl::Time renew_at_ = absl::InfiniteFuture();
  absl::Time attempt_at_ = absl::InfiniteFuture();
  const char* renew_cause_ = "renewal";
  event::Timer timer_;
};

}  // namespace countersign::identity

#endif  // COUNTERSIGN_PROXY_IDENTITY_IDENTITY_CLIENT_H_
