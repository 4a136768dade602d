#include "control/server/server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>
#include <poll.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/spiffe/trust_store.h"
#include "control/ads/ads_server.h"
#include "control/attest/join_token_attestor.h"
#include "control/attest/join_token_store.h"
#include "control/attest/svid_attestor.h"
#include "control/ca/authority.h"
#include "control/ca/own_root.h"
#include "control/identity/deny_list_file.h"
#include "control/identity/identity_service.h"
#include "control/registry/file/file_registry.h"
#include "control/server/metrics_server.h"
#include "control/server/rotating_server_credentials.h"
#include "control/server/serving_certificate.h"
#include "control/state/state_dir.h"
#include "control/stats/identity_metrics.h"

namespace countersign::control::server {
namespace {

// A revocation must be in force within a second of being made.
constexpr int kTickMs = 200;
constexpr absl::Duration kPurgeEvery = absl::Hours(1);
constexpr absl::Duration kDrain = absl::Seconds(2);
constexpr absl::Duration kLongestRenewalSpread = absl::Minutes(5);
// Larger than any identity request (64 KiB) and than the first ADS request of a proxy that names a
// thousand resources which it already has.
constexpr int kMaxMessageBytes = 256 * 1024;
constexpr int kMaxStreamsPerConnection = 1000;
constexpr size_t kMemoryQuotaBytes = size_t{1} << 30;

// True when the process is to end.
bool WaitForStop(int stop_fd, int milliseconds) {
  pollfd wait = {stop_fd, POLLIN, 0};
  return poll(&wait, 1, milliseconds) > 0;
}

}  // namespace

// In the order in which they are made; destroyed in the opposite order.
class Server::Parts {
 public:
  explicit Parts(const Options& options) : options_(options) {}
  ~Parts() { Stop(); }

  absl::Status Start(int stop_fd);
  void Tick();
  void Stop();

  const std::vector<int>& ports() const { return ports_; }
  int metrics_port() const { return metrics_server_->port(); }

 private:
  absl::Status StartMetrics();
  absl::Status AwaitModel(int stop_fd);
  absl::Status OpenAuthority();
  absl::Status Listen();
  void OnModel(const registry::Model& model);
  void ReportExpiries();
  void PollDenyList();

  const Options options_;
  std::string trust_domain_;
  std::shared_ptr<prometheus::Registry> metrics_ = std::make_shared<prometheus::Registry>();
  stats::IdentityMetrics identity_metrics_{*metrics_};
  std::atomic<bool> serving_{false};
  std::unique_ptr<registry::FileRegistry> registry_;
  std::unique_ptr<ca::Authority> authority_;
  std::unique_ptr<spiffe::TrustStore> trust_;
  std::unique_ptr<identity::DenyListSource> deny_list_;
  std::unique_ptr<attest::JoinTokenStore> tokens_;
  std::unique_ptr<identity::SvidIssuer> issuer_;
  std::unique_ptr<identity::IdentityService> identity_service_;
  std::unique_ptr<ads::AdsServer> ads_;
  std::unique_ptr<ServingCertificate> certificate_;
  std::vector<std::shared_ptr<grpc::ServerCredentials>> credentials_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::vector<int> ports_;
  absl::Time purge_at_ = absl::InfinitePast();

  std::mutex policy_mutex_;
  identity::IssuancePolicy policy_;
};

absl::Status Server::Parts::Start(int stop_fd) {
  absl::Status status = state::OpenStateDir(options_.state_dir);
  if (status.ok()) status = state::LockStateDir(options_.state_dir);
  if (status.ok()) status = StartMetrics();
  if (status.ok()) status = AwaitModel(stop_fd);
  if (status.ok()) status = OpenAuthority();
  if (status.ok()) status = Listen();
  return status;
}

absl::Status Server::Parts::StartMetrics() {
  MetricsServer::Options options{
      .listen = options_.metrics_listen,
      .registry = *metrics_,
      .refresh =
          [this] {
            if (serving_) ReportExpiries();
          },
      .why_not_ready =
          [this] {
            return serving_ ? "" : "starting, or waiting for a valid configuration; see the log";
          },
  };
  absl::StatusOr<std::unique_ptr<MetricsServer>> server = MetricsServer::Start(std::move(options));
  if (!server.ok()) return server.status();
  metrics_server_ = *std::move(server);
  return absl::OkStatus();
}

absl::Status Server::Parts::AwaitModel(int stop_fd) {
  registry::FileRegistry::Options folder;
  folder.directory = options_.config_dir;
  folder.last_good_directory = options_.state_dir + "/config";
  registry_ = std::make_unique<registry::FileRegistry>(std::move(folder), *metrics_);
  registry_->Subscribe([this](std::shared_ptr<const registry::Model> model) {
    if (serving_) OnModel(*model);
    if (serving_) ads_->OnModel(std::move(model));
  });
  const absl::Status status = registry_->Start();
  if (!status.ok()) return status;
  bool said = false;
  while (registry_->Current() == nullptr) {
    if (!said) {
      spdlog::error("no valid configuration in {}; waiting for one before issuing anything",
                    options_.config_dir);
    }
    said = true;
    if (WaitForStop(stop_fd, 200)) return absl::CancelledError("asked to stop");
  }
  trust_domain_ = registry_->Current()->mesh().trust_domain;
  return absl::OkStatus();
}

absl::Status Server::Parts::OpenAuthority() {
  absl::StatusOr<std::unique_ptr<ca::OwnRoot>> root =
      ca::OwnRoot::Open({.state_dir = options_.state_dir,
                         .trust_domain = trust_domain_,
                         .ttl = options_.root_ttl,
                         .now = absl::Now()});
  if (!root.ok()) return root.status();
  absl::StatusOr<std::unique_ptr<ca::Authority>> authority =
      ca::Authority::Open({.state_dir = options_.state_dir,
                           .trust_domain = trust_domain_,
                           .intermediate_ttl = options_.intermediate_ttl},
                          *std::move(root));
  if (!authority.ok()) return authority.status();
  authority_ = *std::move(authority);
  // Epochs grow across restarts, too: a proxy must never take older trust for newer.
  absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>> bundles = spiffe::BundleSet::Create(
      static_cast<uint64_t>(absl::ToUnixMillis(absl::Now())), {authority_->bundle()});
  if (!bundles.ok()) return bundles.status();
  trust_ = std::make_unique<spiffe::TrustStore>(*std::move(bundles));
  deny_list_ = std::make_unique<identity::DenyListFile>(options_.state_dir);
  PollDenyList();
  absl::StatusOr<std::unique_ptr<attest::JoinTokenStore>> tokens =
      attest::JoinTokenStore::Open(options_.state_dir);
  if (!tokens.ok()) return tokens.status();
  tokens_ = *std::move(tokens);
  certificate_ = std::make_unique<ServingCertificate>(*authority_, trust_domain_);
  return certificate_->Renew();
}

absl::Status Server::Parts::Listen() {
  std::vector<std::unique_ptr<attest::Attestor>> attestors;
  attestors.push_back(std::make_unique<attest::JoinTokenAttestor>(*tokens_));
  attestors.push_back(std::make_unique<attest::SvidAttestor>(trust_domain_, *trust_));
  issuer_ = std::make_unique<identity::SvidIssuer>(
      identity::SvidIssuer::Options{.authority = *authority_,
                                    .trust = *trust_,
                                    .trust_domain = trust_domain_,
                                    .attestors = std::move(attestors)});
  identity_service_ = std::make_unique<identity::IdentityService>(
      identity::IdentityService::Options{.issuer = *issuer_,
                                         .trust = *trust_,
                                         .metrics = identity_metrics_,
                                         .max_streams = options_.max_streams,
                                         .work = {}});
  ads_ = std::make_unique<ads::AdsServer>(
      [this] {
        spiffe::TrustView view = trust_->view();
        return ads::AdsServer::Trust{std::move(view.bundles), std::move(view.deny_list)};
      },
      *metrics_);
  trust_->OnChange([this] { ads_->OnTrustChanged(); });
  OnModel(*registry_->Current());
  ads_->OnModel(registry_->Current());

  grpc::ServerBuilder builder;
  ports_.resize(options_.listen.size());
  for (size_t i = 0; i < options_.listen.size(); ++i) {
    credentials_.push_back(RotatingServerCredentials(*certificate_));
    builder.AddListeningPort(options_.listen[i], credentials_.back(), &ports_[i]);
  }
  builder.RegisterService(identity_service_->grpc_service());
  builder.RegisterService(ads_->service());
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 * 1024);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  // A second control plane on the port must fail, not share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Dead peers are noticed; peers that ping more often than this are sent away.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  grpc::ResourceQuota quota("control");
  quota.Resize(kMemoryQuotaBytes);
  builder.SetResourceQuota(quota);
  grpc_ = builder.BuildAndStart();
  for (size_t i = 0; i < ports_.size(); ++i) {
    if (grpc_ == nullptr || ports_[i] == 0) {
      return absl::UnavailableError(absl::StrCat(
          "cannot listen on ", options_.listen[i],
          "; is another control plane running, or is the address not this machine's?"));
    }
  }
  serving_ = true;
  // What came into force between reading the model and now.
  OnModel(*registry_->Current());
  ads_->OnModel(registry_->Current());
  Tick();
  for (const std::string& listen : options_.listen) {
    spdlog::info("serving identities and configuration of trust domain {} on {}", trust_domain_,
                 listen);
  }
  return absl::OkStatus();
}

void Server::Parts::OnModel(const registry::Model& model) {
  if (model.mesh().trust_domain != trust_domain_) {
    spdlog::error(
        "Mesh.spec.trustDomain says {} but this control plane's authority is that of {}; the "
        "change "
        "is not in force. Set it back, or start a control plane with another --state-dir",
        model.mesh().trust_domain, trust_domain_);
  }
  const identity::IssuancePolicy policy{.ttl = model.mesh().ttl, .max_ttl = model.mesh().max_ttl};
  bool shorter;
  {
    const std::lock_guard lock(policy_mutex_);
    if (policy == policy_ && serving_) return;
    shorter = serving_ && policy.ttl < policy_.ttl;
    policy_ = policy;
  }
  issuer_->SetPolicy(policy);
  spdlog::info("certificates live {} (at most {} on request)", absl::FormatDuration(policy.ttl),
               absl::FormatDuration(policy.max_ttl));
  // Longer lives come by themselves at the next renewal; shorter ones are wanted now.
  if (shorter) {
    identity_service_->AskForRenewal("the mesh's certificate lifetime was shortened",
                                     std::min(policy.ttl / 2, kLongestRenewalSpread));
  }
}

void Server::Parts::PollDenyList() {
  const absl::Time noticed_at = absl::Now();
  absl::StatusOr<std::shared_ptr<const spiffe::DenyList>> list = deny_list_->Poll();
  if (!list.ok()) {
    spdlog::error("the deny list cannot be taken: {}", std::string(list.status().message()));
  } else if (*list != nullptr) {
    spdlog::info("the deny list is in force with {} identities and {} certificates",
                 (*list)->ids().size(), (*list)->serials().size());
    trust_->SetDenyList(*std::move(list), noticed_at);
  }
}

void Server::Parts::Tick() {
  PollDenyList();
  const absl::StatusOr<bool> renewed = authority_->RenewIfDue();
  if (!renewed.ok()) {
    spdlog::error("the intermediate authority is due and could not be renewed: {}",
                  std::string(renewed.status().message()));
  } else if (*renewed) {
    spdlog::info("the intermediate authority was renewed");
    absl::Duration ttl;
    {
      const std::lock_guard lock(policy_mutex_);
      ttl = policy_.ttl;
    }
    identity_service_->AskForRenewal(
        "the issuing authority was renewed",
        std::min({ttl / 4, options_.intermediate_ttl / 8, kLongestRenewalSpread}));
  }
  const absl::Status status =
      renewed.ok() && *renewed ? certificate_->Renew() : certificate_->RenewIfDue();
  if (!status.ok()) spdlog::error("{}", std::string(status.message()));
  if (absl::Now() >= purge_at_) {
    purge_at_ = absl::Now() + kPurgeEvery;
    const int removed = tokens_->Purge(absl::Now());
    if (removed > 0) spdlog::info("removed {} expired join tokens", removed);
  }
}

void Server::Parts::ReportExpiries() {
  const absl::Time now = absl::Now();
  for (const ca::Authority::Expiry& expiry : authority_->Expiries()) {
    identity_metrics_.SetAuthorityExpiry(expiry.authority, expiry.not_after, now);
  }
  identity_metrics_.SetAuthorityExpiry("serving", certificate_->current()->not_after, now);
}

void Server::Parts::Stop() {
  serving_ = false;
  if (registry_ != nullptr) registry_->Stop();
  if (identity_service_ != nullptr) identity_service_->Shutdown();
  if (ads_ != nullptr) ads_->Shutdown();
  if (grpc_ != nullptr) {
    grpc_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoSeconds(kDrain));
    grpc_->Wait();
  }
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options, int stop_fd) {
  auto parts = std::make_unique<Parts>(options);
  const absl::Status status = parts->Start(stop_fd);
  if (!status.ok()) return status;
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() = default;

void Server::Run(int stop_fd) {
  while (!WaitForStop(stop_fd, kTickMs)) parts_->Tick();
}

const std::vector<int>& Server::ports() const { return parts_->ports(); }
int Server::metrics_port() const { return parts_->metrics_port(); }

}  // namespace countersign::control::server
