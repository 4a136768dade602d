#include "proxy/server/server.h"

#include <openssl/rand.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proxy/admin/pages.h"
#include "proxy/identity/bootstrap.h"
#include "proxy/identity/grpc_control_dialer.h"
#include "proxy/server/connection_table.h"
#include "proxy/server/process_stats.h"
#include "proxy/stats/families.h"
#include "proxy/tls/handshake_rehearsal.h"

namespace countersign::server {
namespace {

constexpr char kVersion[] = "0.1.0";
constexpr std::chrono::milliseconds kDrainPoll{250};
constexpr std::chrono::milliseconds kHousekeeping{5'000};
// Set-up (start, a new certificate and what is opened with it) is over after this time, and it is
// not worth cleaning up after it more often than this.
constexpr std::chrono::milliseconds kSetUpTime{700};
constexpr std::chrono::milliseconds kTextDropInterval{60'000};
constexpr size_t kDefaultConnectionLimit = 1000;
constexpr size_t kMaxConnectionLimit = 100'000;

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
  stats_.Get(stats::kBuildInfo, {kVersion, options_.workload, options_.workload_namespace}).Set(1);
  stats_.Get(stats::kProcessStart, {}).Set(static_cast<uint64_t>(std::time(nullptr)));

  admin_ = std::make_unique<admin::HttpServer>(
      dispatcher_, admin::HttpServerOptions{.loopback_only = true},
      [this](const admin::Request& request, admin::HttpServer::Done done) {
        HandleAdmin(request, std::move(done));
      });
  public_ = std::make_unique<admin::HttpServer>(
      dispatcher_, admin::HttpServerOptions{},
      [this](const admin::Request& request, admin::HttpServer::Done done) {
        HandlePublic(request, std::move(done));
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

  WorkerOptions worker_options;
  worker_options.outbound_listen = options_.outbound_listen;
  worker_options.inbound_listen = options_.inbound_listen;
  worker_options.hbone_listen = options_.hbone_listen;
  worker_options.forwards = options_.forwards;
  worker_options.admin_listen = own_ports;
  worker_options.hold_timeout = options_.hold_time;
  worker_options.access_log = access_log_.get();
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
  if (draining_) {
    spdlog::warn("a second signal ({}): stopping at once", strsignal(signal));
    dispatcher_.Stop();
    return;
  }
  spdlog::info("{}: draining for at most {} s; readiness fails from now on", strsignal(signal),
               options_.drain_time.count() / 1000);
  StartDrain();
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
  draining_ = true;
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
  CollectConnections(1, [this](std::vector<ConnectionInfo> left) {
    if (left.empty()) {
      spdlog::info("drained");
      dispatcher_.Stop();
      return;
    }
    const auto remaining =
        std::chrono::duration_cast<std::chrono::milliseconds>(drain_deadline_ - dispatcher_.now());
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

std::vector<std::string> Server::NotReadyReasons() const {
  std::vector<std::string> reasons;
  if (draining_) {
    reasons.push_back("draining: the proxy has been told to stop");
  }
  const std::string identity = identity_->NotReadyReason();
  if (!identity.empty()) {
    reasons.push_back(absl::StrCat("identity: ", identity));
  }
  if (config_mirror_.config() == nullptr) {
    reasons.push_back(absl::StrCat("configuration: none has come from the control plane yet",
                                   xds_->last_error().empty() ? "" : ": ", xds_->last_error()));
  }
  return reasons;
}

void Server::HandlePublic(const admin::Request& request, admin::HttpServer::Done done) {
  if (request.method == "POST") {
    done(admin::Response::Text(405, "Only GET is understood here.\n"));
  } else if (request.path == "/metrics") {
    done(MetricsPage());
  } else if (request.path == "/healthz/ready") {
    done(ReadyPage());
  } else {
    done(admin::Response::Text(404, "Here are /metrics and /healthz/ready.\n"));
  }
}

void Server::HandleAdmin(const admin::Request& request, admin::HttpServer::Done done) {
  if (request.path == "/logging") {
    done(LoggingPage(request));
  } else if (request.method == "POST") {
    done(admin::Response::Text(405, "Only /logging takes POST.\n"));
  } else if (request.path == "/ready" || request.path == "/healthz/ready") {
    done(ReadyPage());
  } else if (request.path == "/metrics") {
    done(MetricsPage());
  } else if (request.path == "/certs") {
    done(admin::Response::Json(admin::RenderCerts(secrets_.Current().get(), identity_->renew_at(),
                                                  dispatcher_.clock().Wall())));
  } else if (request.path == "/config_dump") {
    done(ConfigDumpPage());
  } else if (request.path == "/connections") {
    ConnectionsPage(request, std::move(done));
  } else if (request.path == "/") {
    done(admin::Response::Text(
        200,
        "/ready        200 when identity and configuration are there, otherwise 503 and why not\n"
        "/metrics      Prometheus text format\n"
        "/config_dump  the configuration in force (JSON)\n"
        "/certs        our certificate and the trust bundles (JSON)\n"
        "/connections  what is open (JSON; ?format=text for a table; ?limit=N)\n"
        "/logging      the log level; POST /logging?level=debug changes it\n"));
  } else {
    done(admin::Response::Text(404, "No such page; / lists them.\n"));
  }
}

admin::Response Server::ReadyPage() const {
  const std::vector<std::string> reasons = NotReadyReasons();
  if (reasons.empty()) {
    return admin::Response::Text(200, "ready\n");
  }
  return admin::Response::Text(503, absl::StrCat(absl::StrJoin(reasons, "\n"), "\n"));
}

admin::Response Server::MetricsPage() {
  identity_->UpdateGauges();
  stats_.Get(stats::kReady, {}).Set(NotReadyReasons().empty() ? 1 : 0);
  stats_.Get(stats::kProcessResident, {}).Set(ResidentBytes());
  stats_.Get(stats::kProcessOpenFds, {}).Set(OpenFileDescriptors());
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = stats_.Serialize()};
}

admin::Response Server::ConfigDumpPage() const {
  admin::ConfigDump dump;
  dump.flags = options_.flags;
  dump.config = config_mirror_.config();
  dump.destinations = config_mirror_.destinations();
  dump.xds_connected = xds_->connected();
  dump.xds_error = xds_->last_error();
  std::vector<std::string> names = {"inbound", "outbound"};
  for (const net::Address& address : xds_->resources().Destinations()) {
    names.push_back(xds::DestinationName(address));
  }
  for (const std::string& name : names) {
    const std::string version = xds_->resources().VersionOf(xds::ResourceType::kListener, name);
    if (!version.empty()) {
      dump.versions[name] = version;
    }
  }
  return admin::Response::Json(admin::RenderConfigDump(dump));
}

admin::Response Server::LoggingPage(const admin::Request& request) const {
  constexpr absl::string_view kLevels[] = {"trace", "debug", "info", "warning", "error", "off"};
  if (request.method == "POST") {
    auto it = request.query.find("level");
    if (it == request.query.end() ||
        std::find(std::begin(kLevels), std::end(kLevels), it->second) == std::end(kLevels)) {
      return admin::Response::Text(
          400, absl::StrCat("level must be one of ", absl::StrJoin(kLevels, ", "), "\n"));
    }
    spdlog::set_level(spdlog::level::from_str(it->second));
    spdlog::warn("the log level is {} now, by the admin page", it->second);
  }
  const spdlog::string_view_t level = spdlog::level::to_string_view(spdlog::get_level());
  return admin::Response::Text(
      200, absl::StrCat("level: ", absl::string_view(level.data(), level.size()), "\n"));
}

void Server::CollectConnections(size_t limit,
                                std::function<void(std::vector<ConnectionInfo>)> done) {
  struct Gathering {
    size_t left;
    std::vector<ConnectionInfo> connections;
    std::function<void(std::vector<ConnectionInfo>)> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->left = workers_.size();
  gathering->done = std::move(done);
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->CollectConnections(limit, [this, gathering](std::vector<ConnectionInfo> part) {
      dispatcher_.Post([gathering, part = std::move(part)]() mutable {
        std::move(part.begin(), part.end(), std::back_inserter(gathering->connections));
        if (--gathering->left == 0) {
          gathering->done(std::move(gathering->connections));
        }
      });
    });
  }
}

void Server::ConnectionsPage(const admin::Request& request, admin::HttpServer::Done done) {
  size_t limit = kDefaultConnectionLimit;
  if (auto it = request.query.find("limit"); it != request.query.end()) {
    if (!absl::SimpleAtoi(it->second, &limit) || limit > kMaxConnectionLimit) {
      done(admin::Response::Text(
          400, absl::StrCat("limit must be a number up to ", kMaxConnectionLimit, "\n")));
      return;
    }
  }
  auto format = request.query.find("format");
  const bool text = format != request.query.end() && format->second == "text";
  CollectConnections(
      limit, [this, text, done = std::move(done)](std::vector<ConnectionInfo> connections) {
        const absl::Time now = dispatcher_.clock().Wall();
        done(text ? admin::Response::Text(200, RenderConnectionsText(connections, now))
                  : admin::Response::Json(RenderConnectionsJson(connections, now)));
      });
}

}  // namespace countersign::server
