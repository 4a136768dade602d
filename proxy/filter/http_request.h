// One request on a downstream connection, with its response.
#ifndef COUNTERSIGN_PROXY_FILTER_HTTP_REQUEST_H_
#define COUNTERSIGN_PROXY_FILTER_HTTP_REQUEST_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "proxy/event/dispatcher.h"
#include "proxy/filter/grpc_message_counter.h"
#include "proxy/filter/http_routes.h"
#include "proxy/filter/http_shared.h"
#include "proxy/http/codec.h"
#include "proxy/router/router.h"

namespace countersign::filter {

class HttpConnectionManager;

// Judges the request's head, names it, has the router carry it, and hands the response back. Used
// again for other requests: HttpShared keeps it. On its worker's thread.
class HttpRequest final : private http::Stream::Handler, private router::Downstream {
 public:
  explicit HttpRequest(HttpShared& shared);
  HttpRequest(const HttpRequest&) = delete;
  HttpRequest& operator=(const HttpRequest&) = delete;
  ~HttpRequest() = default;

  void Start(HttpConnectionManager& connection, http::ServerStream& stream);
  // The connection ends under it.
  void Abort(router::ResponseFlags flags);
  // Forgets everything.
  void Recycle();

  // When the last byte moved, and whether all of the response has been handed on (and of a tunnel,
  // all of the request has come): what is then left is that the client takes it.
  event::Instant last_activity() const { return last_activity_; }
  bool answered() const { return answered_ && (!tunnel_ || request_done_); }
  bool is_tunnel() const { return tunnel_; }

  // Has nothing on its way any more, after Recycle.
  bool idle() const { return router_.idle(); }

  // Links of the list that it is in.
  HttpRequest* next() const { return next_; }
  void set_next(HttpRequest* next) { next_ = next; }

 private:
  friend class HttpConnectionManager;

  // The stages, in order.
  bool Admit();
  bool Clean(http::RequestHead& head);
  void Name(http::RequestHead& head);
  void Forward(http::RequestHead& head);
  void Finish();

  void Reply(const router::LocalReply& reply);
  void OnResponseDone();
  void ReadGrpcStatus(const http::HeaderMap& headers);
  void TellMessages();
  void Touch();
  void Record();
  void Log(absl::string_view flags, event::Instant now) const;
  void Report(absl::string_view flags, event::Instant now);

  // http::Stream::Handler
  void OnData(buffer::Buffer& data, bool end) override;
  void OnTrailers(http::HeaderMap& trailers) override;
  void OnWritable() override;
  void OnEnd(http::StreamEnd end) override;
  // router::Downstream
  void OnInformational(http::ResponseHead& head) override;
  void OnResponse(http::ResponseHead& head, bool end) override;
  void OnResponseData(buffer::Buffer& data, bool end) override;
  void OnResponseTrailers(http::HeaderMap& trailers) override;
  void OnLocalReply(const router::LocalReply& reply) override;
  void OnResponseBroken(router::ResponseFlags flags, absl::string_view reason) override;
  void OnUpstreamReadDisable(bool disable) override;

  HttpShared& shared_;
  HttpRequest* next_ = nullptr;
  HttpRequest* previous_ = nullptr;
  HttpConnectionManager* connection_ = nullptr;
  http::ServerStream* stream_ = nullptr;
  HttpRoutes* routes_ = nullptr;  // counted
  router::Router router_;
  http::ResponseHead local_;  // of an answer of our own
  router::RouteChoice choice_;
  router::ResponseFlags flags_;  // ours; the router has its own
  absl::string_view reason_;
  trace::RequestTrace trace_;
  absl::string_view path_;  // as it was matched, before any rewrite
  event::Instant started_{};
  event::Instant last_activity_{};
  uint64_t received_ = 0;  // of the bodies
  uint64_t sent_ = 0;
  GrpcMessageCounter requests_in_;
  GrpcMessageCounter responses_in_;
  // gRPC messages that the counters have not heard of yet.
  uint64_t request_messages_ = 0;
  uint64_t response_messages_ = 0;
  uint16_t status_ = 0;
  int grpc_status_ = -1;
  bool grpc_ = false;
  bool grpc_answer_ = false;  // its body is one of gRPC's, too
  bool tunnel_ = false;
  bool routed_ = false;        // the router has it
  bool request_done_ = false;  // all of it has come
  bool answered_ = false;
  bool stopped_ = false;  // the router is to wait for the client to read
};

}  // namespace countersign::filter

#endif  // COUNTERSIGN_PROXY_FILTER_HTTP_REQUEST_H_
