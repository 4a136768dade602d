#include "proxy/upstream/pool/http_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/upstream/pool/lingering_connections.h"

namespace countersign::upstream {

using buffer::CloseReason;

HttpPool::HttpPool(PoolShared& shared, Owner& owner, Host& host, http::Protocol protocol)
    : shared_(shared),
      owner_(owner),
      host_(host),
      protocol_(protocol),
      waiting_(static_cast<HttpStreamQueue::Owner&>(*this)) {}

HttpPool::~HttpPool() = default;

void HttpPool::NewStream(HttpStreamRequest& request) {
  if (!owner_.breakers().TryAdd(CircuitBreakers::Kind::kRequests)) {
    owner_.OnOverflow(CircuitBreakers::Kind::kRequests);
    return request.OnStreamFailed(PoolFailure::kOverflow, CloseReason::kOverload,
                                  Overflow(CircuitBreakers::Kind::kRequests));
  }
  owner_.OnLoad(host_, 1);
  while (available_ != nullptr) {
    ClientConnection& connection = *available_;
    if (connection.usable()) return Assign(connection, request);
    MakeUnavailable(connection);
    if (!connection.finished() && connection.room() > 0) connection.Retire();  // its time is up
  }
  if (host_.endpoint.transport != config::EndpointTransport::kPlaintext &&
      shared_.context == nullptr) {
    return Fail(request, PoolFailure::kNoIdentity, CloseReason::kHoldTimeout,
                "this proxy has no certificate yet");
  }
  if (!owner_.breakers().TryAdd(CircuitBreakers::Kind::kPending)) {
    owner_.OnOverflow(CircuitBreakers::Kind::kPending);
    return Fail(request, PoolFailure::kOverflow, CloseReason::kOverload,
                Overflow(CircuitBreakers::Kind::kPending));
  }
  waiting_.Push(request);
  ConnectAsNeeded();
}

void HttpPool::Assign(ClientConnection& connection, HttpStreamRequest& request) {
  http::ClientStream* stream = connection.NewStream(request.stream_handler());
  if (stream == nullptr) {
    MakeUnavailable(connection);
    return Fail(request, PoolFailure::kConnect, CloseReason::kOverload,
                absl::StrCat(Where(), " takes no more requests on a connection that had room"));
  }
  ++streams_;
  ++connection.counted_;
  if (!connection.usable()) MakeUnavailable(connection);
  request.OnStreamReady(*stream, connection.info());
  Count(connection);
  if (protocol_ == http::Protocol::kHttp2 && owner_.config().pool.preconnect_percent > 100) {
    ConnectAsNeeded();
  }
}

// Streams end in many ways; the codec knows how many are left.
void HttpPool::Count(ClientConnection& connection) {
  const uint32_t now = connection.active_streams();
  while (connection.counted_ > now) {
    --connection.counted_;
    --streams_;
    owner_.breakers().Remove(CircuitBreakers::Kind::kRequests);
    owner_.OnLoad(host_, -1);
  }
}

void HttpPool::Fail(HttpStreamRequest& request, PoolFailure failure, CloseReason reason,
                    const std::string& explanation) {
  owner_.breakers().Remove(CircuitBreakers::Kind::kRequests);
  request.OnStreamFailed(failure, reason, explanation);
  owner_.OnLoad(host_, -1);
}

void HttpPool::FailWaiting(uint32_t count, PoolFailure failure, CloseReason reason,
                           const std::string& explanation) {
  for (; count > 0 && !waiting_.empty(); --count) {
    HttpStreamRequest& request = waiting_.Pop();
    owner_.breakers().Remove(CircuitBreakers::Kind::kPending);
    Fail(request, failure, reason, explanation);
  }
}

void HttpPool::OnRequestCancelled() {
  owner_.breakers().Remove(CircuitBreakers::Kind::kPending);
  owner_.breakers().Remove(CircuitBreakers::Kind::kRequests);
  owner_.OnLoad(host_, -1);
}

// Envoy's rule: what waits and runs, times the preconnect ratio, against what there is room for.
void HttpPool::ConnectAsNeeded() {
  const config::Cluster& config = owner_.config();
  const uint64_t percent =
      protocol_ == http::Protocol::kHttp2 ? std::max(100u, config.pool.preconnect_percent) : 100u;
  for (;;) {
    if (shut_ || (waiting_.empty() && percent == 100)) return;
    uint64_t free = 0;
    if (protocol_ != http::Protocol::kHttp2) {
      free = connecting_;  // nobody waits while another is idle
    } else if (percent > 100 || connecting_ > 0) {
      for (const auto& connection : connections_) free += connection->room();
    }
    if ((uint64_t{waiting_.size()} + streams_) * percent <= (free + streams_) * 100) return;
    if (connections_.empty()) {
      owner_.breakers().Add(CircuitBreakers::Kind::kConnections);
    } else if (!owner_.breakers().TryAdd(CircuitBreakers::Kind::kConnections)) {
      return owner_.OnOverflow(CircuitBreakers::Kind::kConnections);
    }
    ClientConnection::Options options;
    options.protocol = protocol_;
    options.endpoint = host_.endpoint;
    options.connect_timeout = config.connect_timeout;
    options.idle_timeout = config.pool.idle_timeout;
    options.max_age = config.pool.max_connection_age;
    options.max_requests = config.pool.max_requests_per_connection;
    options.max_streams = std::max(1u, config.pool.max_concurrent_streams);
    auto connection = std::make_unique<ClientConnection>(
        shared_, static_cast<ClientConnection::Owner&>(*this), std::move(options));
    ClientConnection& added = *connection;
    added.index_ = connections_.size();
    connections_.push_back(std::move(connection));
    ++connecting_;
    added.Connect();
    if (added.closed()) return;  // it failed already, and so did who waited
  }
}

void HttpPool::OnConnectionReady(ClientConnection& connection) {
  --connecting_;
  owner_.OnConnectionOpened(host_);
  ServeWaiting(connection);
  if (!connection.served() && !connection.usable() && !connection.finished()) {
    // Its SETTINGS allow no stream at all; the next one would be no better.
    connection.Abort(CloseReason::kOverload);
  }
}

void HttpPool::ServeWaiting(ClientConnection& connection) {
  while (!waiting_.empty() && connection.usable()) {
    HttpStreamRequest& request = waiting_.Pop();
    owner_.breakers().Remove(CircuitBreakers::Kind::kPending);
    Assign(connection, request);
  }
  if (connection.usable()) MakeAvailable(connection);
  // One that ends before it has served would be followed by one like it, and so on: those who wait
  // fail with it instead.
  if (!waiting_.empty() && connection.served()) ConnectAsNeeded();
}

void HttpPool::OnConnectionChanged(ClientConnection& connection) {
  if (connection.usable()) {
    ServeWaiting(connection);
  } else {
    MakeUnavailable(connection);
  }
  // Last: with its last stream the host may go.
  Count(connection);
}

void HttpPool::OnConnectionClosed(ClientConnection& connection, CloseReason reason,
                                  const std::string& explanation) {
  const bool opened = connection.ready();
  if (!opened) --connecting_;
  MakeUnavailable(connection);
  const size_t index = connection.index_;
  std::unique_ptr<ClientConnection> dying = std::move(connections_[index]);
  if (index + 1 != connections_.size()) {
    connections_[index] = std::move(connections_.back());
    connections_[index]->index_ = index;
  }
  connections_.pop_back();
  owner_.breakers().Remove(CircuitBreakers::Kind::kConnections);
  shared_.dispatcher.DeferredDelete(std::move(dying));
  owner_.OnConnectionEnded(host_, opened, reason, explanation);
  if (!opened || !connection.served()) {
    // One connection less: as many wait no longer as it would have served, or all of them when no
    // other is left that could.
    const uint32_t count = connections_.empty()                  ? waiting_.size()
                           : protocol_ == http::Protocol::kHttp2 ? 0
                                                                 : 1;
    FailWaiting(count, PoolFailure::kConnect, reason,
                absl::StrCat("cannot connect to ", Where(), ": ", explanation));
  } else if (!waiting_.empty()) {
    ConnectAsNeeded();
  }
  Count(connection);
}

void HttpPool::MakeAvailable(ClientConnection& connection) {
  if (connection.available_) return;
  connection.available_ = true;
  connection.previous_available_ = nullptr;
  connection.next_available_ = available_;
  if (available_ != nullptr) available_->previous_available_ = &connection;
  available_ = &connection;
}

void HttpPool::MakeUnavailable(ClientConnection& connection) {
  if (!connection.available_) return;
  connection.available_ = false;
  (connection.previous_available_ != nullptr ? connection.previous_available_->next_available_
                                             : available_) = connection.next_available_;
  if (connection.next_available_ != nullptr) {
    connection.next_available_->previous_available_ = connection.previous_available_;
  }
}

void HttpPool::Shutdown() {
  shut_ = true;
  available_ = nullptr;
  connecting_ = 0;
  for (size_t i = connections_.size(); i > 0; --i) {
    owner_.breakers().Remove(CircuitBreakers::Kind::kConnections);
  }
  std::vector<std::unique_ptr<ClientConnection>> ending = std::move(connections_);
  connections_.clear();
  for (auto& connection : ending) {
    owner_.OnConnectionEnded(host_, connection->ready(), CloseReason::kFinished, "");
    shared_.lingering->Adopt(std::move(connection));
  }
}

void HttpPool::RetireAll() {
  std::vector<ClientConnection*> all;  // one that is idle ends at once
  for (const auto& connection : connections_) all.push_back(connection.get());
  for (ClientConnection* connection : all) {
    MakeUnavailable(*connection);
    connection->Retire();
  }
}

std::string HttpPool::Overflow(CircuitBreakers::Kind kind) const {
  return owner_.breakers().Explain(kind, owner_.config().name);
}

std::string HttpPool::Where() const { return Whereabouts(host_.endpoint, /*http=*/true); }

}  // namespace countersign::upstream
