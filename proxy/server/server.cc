#include "proxy/server/server.h"

#include <openssl/rand.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/identity/bootstrap.h"
#include "proxy/identity/grpc_control_dialer.h"
#include "proxy/server/process_stats.h"
#include "proxy/stats/families.h"
#include "proxy/tls/handshake_rehearsal.h"
#include "proxy/trace/collector_authorities.h"
#include "proxy/trace/otlp_exporter.h"

namespace countersign::server {
namespace {

constexpr char kVersion[] = "0.1.0";
constexpr std::chrono::milliseconds kDrainPoll{250};
constexpr std::chrono::milliseconds kHousekeeping{5'000};
// Set-up (start, a new certificate and what is opened with it) is over after this time, and it is
// not worth cleaning up after it more often than this.
constexpr std::chrono::milliseconds kSetUpTime{700};
constexpr std::chrono::milliseconds kTextDropInterval{60'000};

double UniformRandom() {
  uint64_t bits = 0;
  if (RAND_bytes(reinterpret_cast<uint8_t*>(&bits), sizeof bits) != 1) {
    return 0.5;
  }
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

std::string ControlId(const std::string& trust_domain) {
  return absl::StrCat("spiffe://", trust_domain, "/countersign/control");
}

void Append(const std::vector<net::Address>& from, std::vector<net::Address>* to) {
  to->insert(to->end(), from.begin(), from.end());
}

}  // namespace

// Signals as events of the main loop.
class Server::Signals final : public event::FileEvent::Handler {
 public:
  explicit Signals(Server& server) : server_(server) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    event_ = std::make_unique<event::FileEvent>(server.dispatcher_, fd_, *this,
                                                event::FileEvent::Mode::kLevelRead);
  }
  ~Signals() {
    event_.reset();
    close(fd_);
  }

  void OnFileEvent(uint32_t) override {
    signalfd_siginfo info;
    if (read(fd_, &info, sizeof info) == sizeof info) {
      server_.OnSignal(static_cast<int>(info.ssi_signo));
    }
  }

 private:
  Server& server_;
  int fd_;
  std::unique_ptr<event::FileEvent> event_;
};

Server::Server(Options options)
    : options_(std::move(options)),
      signals_(std::make_unique<Signals>(*this)),
      drain_timer_(dispatcher_.timers(), this,
                   [](void* self) { static_cast<Server*>(self)->OnDrainTimer(); }),
      housekeeping_timer_(dispatcher_.timers(), this,
                          [](void* self) { static_cast<Server*>(self)->OnHousekeeping(); }),
      set_up_timer_(dispatcher_.timers(), this,
                    [](void* self) { static_cast<Server*>(self)->OnSetUpOver(); }) {}

Server::~Server() {
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->Stop();
  }
}

absl::Status Server::Start() {
  absl::StatusOr<spiffe::SpiffeId> control_id =
      spiffe::SpiffeId::Parse(ControlId(options_.trust_domain));
  if (!control_id.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--trust-domain ", options_.trust_domain, ": ",
                                                   control_id.status().message()));
  }
  // A missing bundle is a mistake in the deployment: say so now, not in a retry loop.
  absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>> bundles =
      identity::ReadTrustBundle(options_.trust_bundle_file, options_.trust_domain);
  if (!bundles.ok()) {
    return bundles.status();
  }

  if (!options_.access_log.path.empty()) {
    absl::StatusOr<std::unique_ptr<access_log::AccessLog>> log =
        access_log::AccessLog::Open(options_.access_log, stats_);
    if (!log.ok()) {
      return log.status();
    }
    access_log_ = *std::move(log);
  }
  if (!options_.otlp_endpoint.empty()) {
    trace::OtlpExporterOptions otlp;
    otlp.endpoint = options_.otlp_endpoint;
    otlp.tls = options_.otlp_tls;
    if (!options_.otlp_ca_file.empty()) {
      absl::StatusOr<std::string> authorities = trace::ReadAuthorities(options_.otlp_ca_file);
      if (!authorities.ok()) {
        return authorities.status();
      }
      otlp.authorities_pem = *std::move(authorities);
    }
    otlp.service_name = options_.otlp_service_name;
    otlp.service_namespace = options_.workload_namespace;
    if (otlp.service_name.empty()) {
      otlp.service_name = options_.workload.empty()
                              ? "countersign-proxy"
                              : absl::StrCat(options_.workload, ".", options_.workload_namespace);
    }
    spans_ = std::make_unique<trace::OtlpExporter>(std::move(otlp), stats_);
  }
  stats_.Get(stats::kBuildInfo, {kVersion, options_.workload, options_.workload_namespace}).Set(1);
  stats_.Get(stats::kProcessStart, {}).Set(static_cast<uint64_t>(std::time(nullptr)));

  admin_ = std::make_unique<admin::HttpServer>(
      dispatcher_, admin::HttpServerOptions{.loopback_only = true},
      [this](const admin::Request& request, admin::HttpServer::Done done) {
        pages_->Handle(request, std::move(done));
      });
  public_ = std::make_unique<admin::HttpServer>(
      dispatcher_, admin::HttpServerOptions{},
      [this](const admin::Request& request, admin::HttpServer::Done done) {
        pages_->HandlePublic(request, std::move(done));
      });
  std::vector<net::Address> own_ports = options_.admin_listen;
  Append(options_.metrics_listen, &own_ports);
  Append(options_.ready_listen, &own_ports);
  for (const net::Address& address : own_ports) {
    const bool loopback_only =
        std::count(options_.admin_listen.begin(), options_.admin_listen.end(), address) > 0;
    absl::Status status = (loopback_only ? admin_ : public_)->Listen(address);
    if (!status.ok()) {
      return status;
    }
  }

  dialer_ = std::make_unique<identity::GrpcControlDialer>(
      options_.control, [this](std::function<void()> call) { dispatcher_.Post(std::move(call)); });
  identity::IdentityClientOptions identity_options;
  identity_options.control_id = *control_id;
  identity_options.bootstrap_bundles = [this] {
    return identity::ReadTrustBundle(options_.trust_bundle_file, options_.trust_domain);
  };
  if (!options_.join_token_file.empty()) {
    identity_options.join_token = [this] {
      return identity::ReadJoinToken(options_.join_token_file);
    };
  }
  identity_options.random = UniformRandom;
  identity_ = std::make_unique<identity::IdentityClient>(std::move(identity_options), *dialer_,
                                                         secrets_, dispatcher_.timers(), stats_);
  xds::XdsClientOptions xds_options;
  xds_options.control_id = *control_id;
  xds_options.random = UniformRandom;
  if (!options_.workload.empty()) {
    xds_options.node_id = absl::StrCat(options_.workload_namespace, "/", options_.workload);
  }
  xds_ = std::make_unique<xds::XdsClient>(std::move(xds_options), *dialer_, dispatcher_, stats_);

  pages_ = std::make_unique<AdminPages>(AdminPagesParams{.options = options_,
                                                         .dispatcher = dispatcher_,
                                                         .stats = stats_,
                                                         .secrets = secrets_,
                                                         .config = config_mirror_,
                                                         .identity = *identity_,
                                                         .xds = *xds_,
                                                         .workers = workers_,
                                                         .start_drain = [this] { StartDrain(); }});

  WorkerOptions worker_options;
  worker_options.outbound_listen = options_.outbound_listen;
  worker_options.inbound_listen = options_.inbound_listen;
  worker_options.hbone_listen = options_.hbone_listen;
  worker_options.forwards = options_.forwards;
  worker_options.inbound_forwards = options_.inbound_forwards;
  worker_options.admin_listen = own_ports;
  worker_options.hold_timeout = options_.hold_time;
  worker_options.expiry_grace = options_.expiry_grace;
  worker_options.max_connections = options_.max_connections;
  worker_options.max_requests = options_.max_requests;
  worker_options.max_buffered_bytes = options_.max_buffered_bytes;
  worker_options.access_log = access_log_.get();
  worker_options.span_sink = spans_.get();
  worker_options.workload = options_.workload;
  worker_options.workload_namespace = options_.workload_namespace;
  xds_->AddSink(&config_mirror_);
  for (uint32_t i = 0; i < options_.concurrency; ++i) {
    workers_.push_back(std::make_unique<Worker>(worker_options, *xds_, stats_));
    xds_->AddSink(workers_.back().get());
    secrets_.AddSink(*workers_.back());
  }
  secrets_.AddSink(*xds_);
  secrets_.AddSink(*this);
  for (const std::unique_ptr<Worker>& worker : workers_) {
    absl::Status status = worker->Start();
    if (!status.ok()) {
      return status;
    }
  }
  identity_->Start();
  housekeeping_timer_.Arm(kHousekeeping);
  return absl::OkStatus();
}

int Server::Run() {
  spdlog::info("countersign-proxy {} for {}/{} serves; control plane {}, trust domain {}", kVersion,
               options_.workload_namespace, options_.workload, options_.control,
               options_.trust_domain);
  dispatcher_.Run();
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->Stop();
  }
  spdlog::info("stopped");
  return 0;
}

void Server::OnSignal(int signal) {
  if (signal == SIGUSR1) {
    ReopenAccessLog();
    return;
  }
  if (stopping_) {
    spdlog::warn("a second signal ({}): stopping at once", strsignal(signal));
    dispatcher_.Stop();
    return;
  }
  spdlog::info("{}: draining for at most {} s; readiness fails from now on", strsignal(signal),
               options_.drain_time.count() / 1000);
  StartStop();
}

void Server::ReopenAccessLog() {
  if (access_log_ == nullptr) return;
  const absl::Status reopened = access_log_->Reopen();
  if (reopened.ok()) {
    spdlog::info("SIGUSR1: reopened the access log {}", options_.access_log.path);
  } else {
    spdlog::error("SIGUSR1: {}; lines go on to the file that was open",
                  std::string(reopened.message()));
  }
}

void Server::StartDrain() {
  if (draining_) return;
  draining_ = true;
  pages_->SetDraining();
  spdlog::info("inbound drains, by the admin page; readiness fails from now on");
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->StartDrain([] {});
  }
}

void Server::StartStop() {
  stopping_ = draining_ = true;
  pages_->SetDraining();
  drain_deadline_ = dispatcher_.now() + options_.drain_time;
  drain_timer_.Arm(options_.drain_time);
  workers_to_drain_ = workers_.size();
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->StartDrain([this] { dispatcher_.Post([this] { OnInboundDrained(); }); });
  }
}

void Server::OnInboundDrained() {
  if (workers_to_drain_ > 0 && --workers_to_drain_ == 0) {
    spdlog::info("no inbound connection is left; waiting for the application's own to end");
    polling_drain_ = true;
    PollDrained();
  }
}

// Outbound works to the last: the application may be writing its farewell.
void Server::PollDrained() {
  GatherFromWorkers<ConnectionInfo>(
      dispatcher_, workers_,
      [](Worker& worker, auto answer) { worker.CollectConnections(1, std::move(answer)); },
      [this](std::vector<ConnectionInfo> left) {
        if (left.empty()) {
          spdlog::info("drained");
          dispatcher_.Stop();
          return;
        }
        const auto remaining = std::chrono::duration_cast<std::chrono::milliseconds>(
            drain_deadline_ - dispatcher_.now());
        drain_timer_.Arm(std::clamp(remaining, std::chrono::milliseconds(0), kDrainPoll));
      });
}

void Server::OnDrainTimer() {
  if (polling_drain_ && dispatcher_.now() < drain_deadline_) {
    PollDrained();
    return;
  }
  spdlog::warn("the drain time of {} s is over; what is left is closed",
               options_.drain_time.count() / 1000);
  dispatcher_.Stop();
}

void Server::OnSecret(std::shared_ptr<const identity::SecretSnapshot>) {
  if (set_up_timer_.armed()) return;
  const event::Instant due =
      std::max(dispatcher_.now() + kSetUpTime, text_dropped_at_ + kTextDropInterval);
  set_up_timer_.Arm(std::chrono::ceil<std::chrono::milliseconds>(due - dispatcher_.now()));
}

void Server::OnSetUpOver() {
  text_dropped_at_ = dispatcher_.now();
  DropSetUpText();
  TrimHeap();
  // The next connection needs the handshake's text, not the set-up's; and whatever is wrong with
  // the certificate shows here before peers find out.
  const absl::Status rehearsed = tls::RehearseHandshake(secrets_.Current(), dispatcher_.clock());
  if (!rehearsed.ok()) {
    spdlog::error("this proxy's own certificate does not carry a handshake {}",
                  std::string(rehearsed.message()));
  }
}

void Server::OnHousekeeping() {
  TrimHeap();
  housekeeping_timer_.Arm(kHousekeeping);
}

}  // namespace countersign::server
