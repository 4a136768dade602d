// One try of a request at one host.
#ifndef COUNTERSIGN_PROXY_ROUTER_UPSTREAM_REQUEST_H_
#define COUNTERSIGN_PROXY_ROUTER_UPSTREAM_REQUEST_H_

#include <chrono>

#include "proxy/event/dispatcher.h"
#include "proxy/http/codec.h"
#include "proxy/upstream/http_stream_request.h"

namespace countersign::router {

class Router;

// Waits for a stream and then listens to it, for its router, which owns it and uses it again for
// later tries. It outlives its part in the request where the codec has yet to say that the stream
// is over; then nobody listens. On its worker's thread.
class UpstreamRequest final : public upstream::HttpStreamRequest,
                              private http::ClientStream::Handler {
 public:
  explicit UpstreamRequest(Router& router);

  void Begin(http::Protocol downstream_protocol) {
    stream = nullptr;
    connection = nullptr;
    end_sent = response_started = response_ended = reported = false;
    downstream_protocol_ = downstream_protocol;
  }

  // Nobody is left who would end the stream, and it has a while to take what it was given.
  void Linger() { timer_.Arm(kLinger); }

  // What the application's own client spoke: decides between HTTP/1.1 and h2c where nothing else
  // does.
  http::Protocol downstream_protocol() const override { return downstream_protocol_; }

  // Lives as long as the stream, its last callback included.
  const upstream::UpstreamConnectionInfo* connection = nullptr;
  http::ClientStream* stream = nullptr;  // null before it is ready and after its end
  bool all_given() const { return end_sent && response_ended; }

  bool end_sent = false;  // all of the request was given to the stream
  bool response_started = false;
  bool response_ended = false;
  bool reported = false;  // its outcome, to the cluster

 private:
  // So long an endpoint may take for the last bytes of a tunnel whose client is gone.
  static constexpr std::chrono::milliseconds kLinger{300'000};

  http::ClientStream::Handler& stream_handler() override { return *this; }
  void OnStreamReady(http::ClientStream& ready,
                     const upstream::UpstreamConnectionInfo& connection) override;
  void OnStreamFailed(upstream::PoolFailure failure, buffer::CloseReason reason,
                      const std::string& explanation) override;
  void OnInformational(http::ResponseHead& head) override;
  void OnHeaders(http::ResponseHead& head, bool end) override;
  void OnData(buffer::Buffer& data, bool end) override;
  void OnTrailers(http::HeaderMap& trailers) override;
  void OnWritable() override;
  void OnEnd(http::StreamEnd end) override;

  Router& router_;
  event::Timer timer_;
  http::Protocol downstream_protocol_ = http::Protocol::kHttp11;
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_UPSTREAM_REQUEST_H_
