// Copies of requests, whose answers nobody waits for.
#ifndef COUNTERSIGN_PROXY_ROUTER_MIRROR_H_
#define COUNTERSIGN_PROXY_ROUTER_MIRROR_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/config/route.h"
#include "proxy/event/dispatcher.h"
#include "proxy/http/codec.h"
#include "proxy/router/dice.h"
#include "proxy/router/request_body.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/http_stream_request.h"

namespace countersign::router {

class ClusterSource;

// Sends its copy and throws the response away. Nothing that happens to it touches the original. It
// belongs to the original's router, outlives the request, and is used again once it is idle. On its
// worker's thread.
class Mirror final : private upstream::HttpStreamRequest, private http::ClientStream::Handler {
 public:
  explicit Mirror(event::Dispatcher& dispatcher);
  ~Mirror();

  bool active() const { return active_; }

  // Copies head and trailers (which may be null), and refers to the bytes of `body`. The host gets
  // `-shadow` behind its name, as Envoy does it, so that whoever receives it can tell. It ends
  // after `timeout` at the latest. Only when not active.
  void Start(upstream::Cluster& cluster, const http::RequestHead& head, const buffer::Buffer& body,
             const http::HeaderMap* trailers, std::optional<uint64_t> hash,
             std::chrono::milliseconds timeout);

  // `a.b:80` -> `a.b-shadow:80`.
  static std::string ShadowAuthority(absl::string_view authority);

 private:
  void OnTimer();
  void Finish();
  // The response is complete; what is left of the request is not wanted.
  void OnResponseComplete();

  http::ClientStream::Handler& stream_handler() override { return *this; }
  http::Protocol downstream_protocol() const override { return head_.protocol; }
  void OnStreamReady(http::ClientStream& stream,
                     const upstream::UpstreamConnectionInfo& connection) override;
  void OnStreamFailed(upstream::PoolFailure failure, buffer::CloseReason reason,
                      const std::string& explanation) override;
  void OnInformational(http::ResponseHead&) override {}
  void OnHeaders(http::ResponseHead& head, bool end) override;
  void OnData(buffer::Buffer& data, bool end) override;
  void OnTrailers(http::HeaderMap& trailers) override;
  void OnWritable() override {}
  void OnEnd(http::StreamEnd end) override;

  bool active_ = false;
  bool has_trailers_ = false;
  upstream::Cluster* cluster_ = nullptr;  // until there is a stream, or none to be had
  http::ClientStream* stream_ = nullptr;
  http::RequestHead head_;
  buffer::Buffer body_;
  http::HeaderMap trailers_;
  event::Timer timer_;
};

// The copies of one router's requests: which are wanted of the present one, and those that run. On
// its worker's thread.
class Mirrors {
 public:
  static constexpr size_t kMost = 8;  // that run at once

  explicit Mirrors(event::Dispatcher& dispatcher) : dispatcher_(dispatcher) {}

  // Which of the policies get the present request. They outlive it.
  void Choose(const std::vector<config::MirrorPolicy>& policies, Dice& dice);
  bool wanted() const { return wanted_ != 0; }
  void Forget() { wanted_ = 0; }

  // The request has come whole: sends what is wanted, if its body was kept. `timeout`: of the
  // original; 0: none.
  void Start(ClusterSource& clusters, const http::RequestHead& head, const RequestBody& body,
             std::optional<uint64_t> hash, std::chrono::milliseconds timeout);

 private:
  // Of a copy whose route has no time-out of its own.
  static constexpr std::chrono::milliseconds kTimeout{15'000};

  Mirror* FindIdle();  // null: as many as may run do

  event::Dispatcher& dispatcher_;
  const std::vector<config::MirrorPolicy>* policies_ = nullptr;
  uint32_t wanted_ = 0;  // a bit for each policy
  std::vector<std::unique_ptr<Mirror>> mirrors_;
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_MIRROR_H_
