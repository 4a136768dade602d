// For tests of workers: two sidecars on loopback with certificates of a test authority, real
// sockets and real applications.
#ifndef COUNTERSIGN_PROXY_SERVER_WORKER_FIXTURE_H_
#define COUNTERSIGN_PROXY_SERVER_WORKER_FIXTURE_H_

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "api/spiffe/testing/test_authority.h"
#include "gtest/gtest.h"
#include "proxy/server/worker.h"

namespace countersign::server {

using config::Destination;
using config::Endpoint;
using config::EndpointTransport;
using config::MtlsMode;
using spiffe::testing::TestAuthority;

inline constexpr char kClientId[] = "spiffe://cluster.local/ns/default/sa/client";
inline constexpr char kServerId[] = "spiffe://cluster.local/ns/default/sa/server";

inline std::shared_ptr<const identity::SecretSnapshot> SecretOf(
    const TestAuthority& authority, const std::string& id, uint64_t generation = 1,
    std::shared_ptr<const spiffe::DenyList> deny = std::make_shared<spiffe::DenyList>(1),
    absl::Time not_after = absl::Now() + absl::Hours(1)) {
  spiffe::testing::LeafOptions options;
  options.uris = {id};
  options.not_after = not_after;
  spiffe::testing::IssuedLeaf leaf = authority.Issue(options);
  auto secret = std::make_shared<identity::SecretSnapshot>();
  secret->generation = generation;
  secret->id = *spiffe::SpiffeId::Parse(id);
  for (const std::string& der : leaf.chain_der) {
    secret->chain.push_back(spiffe::testing::CertificateFromDer(der));
  }
  secret->key = std::move(leaf.key);
  secret->not_before = absl::Now() - absl::Seconds(30);
  secret->not_after = not_after;
  secret->bundles = authority.bundles();
  secret->deny_list = std::move(deny);
  return secret;
}

// Answers every subscription from a table, on the asking worker's thread.
class TableDiscovery : public config::Discovery {
 public:
  void Set(const net::Address& address, std::shared_ptr<const Destination> destination) {
    std::lock_guard lock(mutex_);
    table_[address] = std::move(destination);
  }
  void Subscribe(const net::Address& address) override {
    std::shared_ptr<const Destination> answer;
    {
      std::lock_guard lock(mutex_);
      const auto it = table_.find(address);
      if (it == table_.end()) return;
      answer = it->second;
    }
    if (sink_ != nullptr) sink_->OnDestination(address, answer);
  }
  void Touch(const net::Address&) override {}
  void set_sink(config::ConfigSink* sink) { sink_ = sink; }

 private:
  std::mutex mutex_;
  absl::flat_hash_map<net::Address, std::shared_ptr<const Destination>> table_;
  config::ConfigSink* sink_ = nullptr;
};

inline int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

inline net::Address Local(int port) {
  return *net::Address::Parse("127.0.0.1:" + std::to_string(port));
}

inline int Dial(const net::Address& address) {
  const int fd = socket(address.family(), SOCK_STREAM, 0);
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(&storage);
  timeval timeout{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&storage), length), 0);
  return fd;
}

// Reads until the end, or until `n` bytes; on an error appends "<errno>".
inline std::string ReadAll(int fd, size_t n = static_cast<size_t>(-1)) {
  std::string all;
  char part[65536];
  while (all.size() < n) {
    const ssize_t got = read(fd, part, std::min(sizeof part, n - all.size()));
    if (got < 0) return all + "<" + std::to_string(errno) + ">";
    if (got == 0) break;
    all.append(part, static_cast<size_t>(got));
  }
  return all;
}

inline bool WriteAll(int fd, const std::string& data) {
  size_t at = 0;
  while (at < data.size()) {
    const ssize_t n = send(fd, data.data() + at, data.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return false;
    at += static_cast<size_t>(n);
  }
  return true;
}

// A server whose every connection runs `serve` on a thread of its own.
class Application {
 public:
  explicit Application(std::function<void(int)> serve) : serve_(std::move(serve)) {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(fd_, 128), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (;;) {
        const int fd = accept(fd_, nullptr, nullptr);
        if (fd < 0) return;
        timeval timeout{10, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        std::lock_guard lock(mutex_);
        workers_.emplace_back([this, fd] { serve_(fd); });
      }
    });
  }
  ~Application() {
    shutdown(fd_, SHUT_RDWR);
    close(fd_);
    thread_.join();
    std::lock_guard lock(mutex_);
    for (std::thread& worker : workers_) worker.join();
  }
  net::Address address() const { return Local(port_); }

 private:
  std::function<void(int)> serve_;
  int fd_;
  int port_;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::thread> workers_;
};

inline void Echo(int fd) {
  char part[65536];
  ssize_t n;
  while ((n = read(fd, part, sizeof part)) > 0) {
    if (!WriteAll(fd, std::string(part, static_cast<size_t>(n)))) break;
  }
  close(fd);
}

// Through `tunnel`, or by TLS directly when that has no port.
inline std::shared_ptr<const Destination> Hbone(const net::Address& application,
                                                const net::Address& tunnel,
                                                const std::string& id = kServerId) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = "default/server";
  cluster->service = "server";
  cluster->service_namespace = "default";
  Endpoint endpoint;
  endpoint.address = application;
  endpoint.transport = tunnel.port() == 0 ? EndpointTransport::kTls : EndpointTransport::kHbone;
  endpoint.tunnel = tunnel;
  endpoint.identity = *spiffe::SpiffeId::Parse(id);
  endpoint.workload = "server";
  endpoint.workload_namespace = "default";
  cluster->endpoints.push_back(endpoint);
  auto destination = std::make_shared<Destination>();
  destination->kind = Destination::Kind::kCluster;
  destination->cluster = cluster;
  return destination;
}

inline std::shared_ptr<const config::ProxyConfig> ConfigOf(MtlsMode mode) {
  auto config = std::make_shared<config::ProxyConfig>();
  config->inbound.fallback = {mode, "default/test"};
  config->outbound.mode = config::OutboundPolicy::Mode::kRegistryOnly;
  config->outbound.name = "mesh";
  return config;
}

// A client's sidecar that forwards one port to the application, and the application's sidecar. It
// serves the tunnel, and captures one port on the application's behalf.
class Pair {
 public:
  // `tweak` sees the options of both sidecars before they start.
  explicit Pair(const net::Address& application,
                const std::function<void(WorkerOptions&)>& tweak = nullptr)
      : tunnel_(Local(FreePort())), front_(Local(FreePort())), captured_(Local(FreePort())) {
    WorkerOptions server;
    server.hbone_listen = {tunnel_};
    server.inbound_forwards = {{captured_, application}};
    server.workload = "server";
    server.hold_timeout = std::chrono::milliseconds(1500);
    server.handshake_timeout = std::chrono::milliseconds(1500);
    if (tweak != nullptr) tweak(server);
    server_ = std::make_unique<Worker>(server, discovery_, server_stats_);
    WorkerOptions client;
    client.forwards = {{front_, application}};
    client.workload = "client";
    client.hold_timeout = std::chrono::milliseconds(1500);
    if (tweak != nullptr) tweak(client);
    client_ = std::make_unique<Worker>(client, discovery_, client_stats_);
    discovery_.set_sink(client_.get());
    discovery_.Set(application, Hbone(application, tunnel_));
    EXPECT_TRUE(server_->Start().ok());
    EXPECT_TRUE(client_->Start().ok());
  }
  void Configure(MtlsMode mode = MtlsMode::kStrict) {
    client_->OnProxyConfig(ConfigOf(mode));
    server_->OnProxyConfig(ConfigOf(mode));
  }
  void Identify() {
    client_->OnSecret(SecretOf(authority_, kClientId));
    server_->OnSecret(SecretOf(authority_, kServerId));
  }
  void Ready(MtlsMode mode = MtlsMode::kStrict) {
    Configure(mode);
    Identify();
  }

  // Through both sidecars.
  int Connect() { return Dial(front_); }
  // To the server's sidecar without one of our own.
  int ConnectCaptured() { return Dial(captured_); }
  Worker& client() { return *client_; }
  Worker& server() { return *server_; }
  TableDiscovery& discovery() { return discovery_; }
  const TestAuthority& authority() const { return authority_; }
  std::string ClientStats() const { return client_stats_.Serialize(); }
  std::string ServerStats() const { return server_stats_.Serialize(); }
  const net::Address& tunnel() const { return tunnel_; }
  const net::Address& captured() const { return captured_; }

 private:
  TestAuthority authority_{"cluster.local"};
  TableDiscovery discovery_;
  stats::Registry client_stats_;
  stats::Registry server_stats_;
  const net::Address tunnel_;
  const net::Address front_;
  const net::Address captured_;
  std::unique_ptr<Worker> client_;
  std::unique_ptr<Worker> server_;
};

// Waits until `text` (asked for again and again) contains `part`.
template <typename Text>
::testing::AssertionResult Eventually(Text text, const std::string& part) {
  std::string last;
  for (int i = 0; i < 300; ++i) {
    last = text();
    if (last.find(part) != std::string::npos) return ::testing::AssertionSuccess();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return ::testing::AssertionFailure() << part << " is not in:\n" << last;
}

inline void ResetOnClose(int fd) {
  const linger abort{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  close(fd);
}

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_WORKER_FIXTURE_H_
