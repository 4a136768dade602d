#include "proxy/server/worker.h"

#include <malloc.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <future>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/buffer/block.h"
#include "proxy/event/dispatcher.h"
#include "proxy/http/h2/memory_pool.h"
#include "proxy/listener/accept_socket.h"
#include "proxy/net/socket.h"
#include "proxy/pipeline/environment.h"
#include "proxy/pipeline/inbound.h"
#include "proxy/pipeline/inbound_tunnel.h"
#include "proxy/pipeline/outbound.h"
#include "proxy/server/cluster_collector.h"

namespace countersign::server {
namespace {

// How often a worker without work gives memory back.
constexpr std::chrono::seconds kTrimInterval{10};
constexpr size_t kIdleBytes = 2 * buffer::kBlockBytes;

pipeline::Settings SettingsOf(const WorkerOptions& options) {
  pipeline::Settings settings;
  settings.hold_timeout = options.hold_timeout;
  settings.handshake_timeout = options.handshake_timeout;
  settings.expiry_grace = options.expiry_grace;
  settings.max_held_connections = options.max_held_connections;
  settings.max_connections = options.max_connections;
  settings.max_requests = options.max_requests;
  settings.max_buffered_bytes = options.max_buffered_bytes;
  settings.max_streams_per_tunnel = options.max_streams_per_tunnel;
  settings.access_log = options.access_log;
  settings.span_sink = options.span_sink;
  settings.workload = options.workload;
  settings.workload_namespace = options.workload_namespace;
  for (const auto* list : {&options.outbound_listen, &options.inbound_listen, &options.hbone_listen,
                           &options.admin_listen}) {
    for (const net::Address& address : *list) settings.own_ports.insert(address.port());
  }
  settings.own_ports.erase(0);
  return settings;
}

}  // namespace

// Everything of the worker that lives on its thread.
class Worker::Loop final : private listener::AcceptSocket::Handler {
 public:
  Loop(WorkerOptions options, config::Discovery& discovery, stats::Registry& stats)
      : options_(std::move(options)), discovery_(discovery), stats_(stats) {}

  absl::Status Start() {
    const auto bind = [this](const net::Address& address, Kind kind,
                             const net::Address& destination) -> absl::Status {
      absl::StatusOr<net::Socket> socket = net::Socket::Listen(address);
      if (!socket.ok()) return socket.status();
      // Only the pod's own application comes there; its connections inherit it.
      if (kind == Kind::kOutbound || kind == Kind::kOutboundForward) socket->SetHostLocal();
      bound_.push_back({*std::move(socket), address, kind, destination, nullptr});
      return absl::OkStatus();
    };
    const auto bind_all = [&bind](const std::vector<net::Address>& addresses,
                                  Kind kind) -> absl::Status {
      for (const net::Address& address : addresses) {
        if (absl::Status status = bind(address, kind, {}); !status.ok()) return status;
      }
      return absl::OkStatus();
    };
    absl::Status status = bind_all(options_.outbound_listen, Kind::kOutbound);
    if (status.ok()) status = bind_all(options_.inbound_listen, Kind::kInbound);
    if (status.ok()) status = bind_all(options_.hbone_listen, Kind::kTunnel);
    for (const Forward& forward : options_.forwards) {
      if (status.ok()) status = bind(forward.listen, Kind::kOutboundForward, forward.destination);
    }
    for (const Forward& forward : options_.inbound_forwards) {
      if (status.ok()) status = bind(forward.listen, Kind::kInboundForward, forward.destination);
    }
    if (!status.ok()) {
      bound_.clear();
      return status;
    }
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  void Stop() {
    if (!thread_.joinable()) return;
    dispatcher_.Stop();
    thread_.join();
  }

  // Runs `call` on the loop's thread, with null once the loop has ended.
  void Post(std::function<void(pipeline::Environment*)> call) {
    dispatcher_.Post([this, call = std::move(call)] { call(env_.get()); });
  }

 private:
  enum class Kind : uint8_t { kOutbound, kInbound, kTunnel, kOutboundForward, kInboundForward };
  struct Bound {
    net::Socket socket;
    net::Address address;
    Kind kind;
    net::Address destination;  // of a forward
    std::unique_ptr<listener::AcceptSocket> listener;
  };

  void Run() {
    env_ = std::make_unique<pipeline::Environment>(dispatcher_, SettingsOf(options_), discovery_,
                                                   stats_);
    for (Bound& bound : bound_) {
      bound.listener = std::make_unique<listener::AcceptSocket>(
          dispatcher_, std::move(bound.socket), bound.address,
          static_cast<listener::AcceptSocket::Handler&>(*this));
    }
    event::Timer trim(dispatcher_.timers(), this,
                      [](void* self) { static_cast<Loop*>(self)->GiveMemoryBack(); });
    trim_ = &trim;
    trim.Arm(kTrimInterval);
    dispatcher_.Run();
    trim_ = nullptr;
    for (Bound& bound : bound_) bound.listener.reset();
    env_.reset();
    dispatcher_.RunTurn(false);  // what was deferred dies on this thread
  }

  // After a burst, blocks go back to malloc and free pages to the system. A worker that is busy
  // keeps them: it would only take them again.
  void GiveMemoryBack() {
    buffer::BlockPool& pool = buffer::BlockPool::ForThisThread();
    if (pool.bytes_in_use() <= kIdleBytes &&
        pool.Trim() + http::h2::MemoryPool::ForThisThread().Trim() > kIdleBytes) {
      (void)malloc_trim(0);
    }
    trim_->Arm(kTrimInterval);
  }

  void OnAccept(listener::AcceptSocket& listener, net::Socket socket,
                const net::Address& peer) override {
    for (const Bound& bound : bound_) {
      if (bound.listener.get() != &listener) continue;
      const bool inherits = bound.kind == Kind::kOutbound || bound.kind == Kind::kOutboundForward;
      if (!inherits && peer.ip().IsLoopback()) socket.SetHostLocal();
      switch (bound.kind) {
        case Kind::kOutbound:
          return pipeline::AcceptOutbound(*env_, std::move(socket), peer, nullptr);
        case Kind::kOutboundForward:
          return pipeline::AcceptOutbound(*env_, std::move(socket), peer, &bound.destination);
        case Kind::kInbound:
          return pipeline::AcceptInbound(*env_, std::move(socket), peer, nullptr);
        case Kind::kInboundForward:
          return pipeline::AcceptInbound(*env_, std::move(socket), peer, &bound.destination);
        case Kind::kTunnel:
          return pipeline::AcceptTunnel(*env_, std::move(socket), peer);
      }
    }
  }

  void OnAcceptFailed(listener::AcceptSocket& listener, int error) override {
    env_->OnNoDescriptor(absl::StrCat("cannot accept on ", listener.address().ToString(), ": ",
                                      std::strerror(error),
                                      "; raise the limit of open files (ulimit -n)"));
  }

  const WorkerOptions options_;
  config::Discovery& discovery_;
  stats::Registry& stats_;
  event::Dispatcher dispatcher_;
  std::vector<Bound> bound_;
  std::unique_ptr<pipeline::Environment> env_;
  event::Timer* trim_ = nullptr;
  std::thread thread_;
};

Worker::Worker(WorkerOptions options, config::Discovery& discovery, stats::Registry& stats)
    : loop_(std::make_unique<Loop>(std::move(options), discovery, stats)) {}

Worker::~Worker() { Stop(); }

absl::Status Worker::Start() { return loop_->Start(); }

void Worker::Stop() { loop_->Stop(); }

void Worker::OnProxyConfig(std::shared_ptr<const config::ProxyConfig> config) {
  loop_->Post([config = std::move(config)](pipeline::Environment* env) {
    if (env != nullptr) env->OnProxyConfig(config);
  });
}

void Worker::OnDestination(const net::Address& original_destination,
                           std::shared_ptr<const config::Destination> destination) {
  loop_->Post(
      [original_destination, destination = std::move(destination)](pipeline::Environment* env) {
        if (env != nullptr) env->OnDestination(original_destination, destination);
      });
}

void Worker::OnSecret(std::shared_ptr<const identity::SecretSnapshot> secret) {
  loop_->Post([secret = std::move(secret)](pipeline::Environment* env) {
    if (env != nullptr) env->OnSecret(secret);
  });
}

void Worker::StartDrain(std::function<void()> drained) {
  loop_->Post([drained = std::move(drained)](pipeline::Environment* env) {
    env == nullptr ? drained() : env->StartDrain(drained);
  });
}

void Worker::CollectConnections(size_t limit,
                                std::function<void(std::vector<ConnectionInfo>)> done) {
  loop_->Post([limit, done = std::move(done)](pipeline::Environment* env) {
    std::vector<ConnectionInfo> connections;
    if (env != nullptr) env->Collect(limit, &connections);
    done(std::move(connections));
  });
}

void Worker::CollectClusters(std::function<void(std::vector<admin::ClusterInfo>)> done) {
  loop_->Post([done = std::move(done)](pipeline::Environment* env) {
    done(env == nullptr ? std::vector<admin::ClusterInfo>()
                        : server::CollectClusters(env->clusters(), env->dispatcher().now()));
  });
}

}  // namespace countersign::server
