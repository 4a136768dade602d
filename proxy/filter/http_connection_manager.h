// HTTP on one downstream connection: requests come out of it, responses go into it.
#ifndef COUNTERSIGN_PROXY_FILTER_HTTP_CONNECTION_MANAGER_H_
#define COUNTERSIGN_PROXY_FILTER_HTTP_CONNECTION_MANAGER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "api/net/address.h"
#include "api/spiffe/verifier.h"
#include "proxy/buffer/byte_stream.h"
#include "proxy/config/http.h"
#include "proxy/filter/http_request.h"
#include "proxy/filter/http_routes.h"
#include "proxy/filter/http_shared.h"
#include "proxy/http/codec.h"
#include "proxy/stats/request_cells.h"

namespace countersign::filter {

struct HttpConnectionOptions {
  bool inbound = false;
  net::Address client;
  net::Address destination;                      // original
  std::shared_ptr<const spiffe::PeerSvid> peer;  // who has proved itself; null: plaintext
  spiffe::SpiffeId own_id;                       // inbound with a peer: whom it called
  // Inbound: the peer's sidecar has put the requests on this connection, and says what its
  // application spoke. False: they are as that application has sent them.
  bool by_sidecar = false;
};

// Owns the codec, borrows the connection's byte stream. What came in a turn is answered in one
// write at its end. On its worker's thread; belongs to the pipeline's session, which destroys it
// through DeferredDelete after OnHttpDone.
class HttpConnectionManager final : private buffer::ByteStream::Handler,
                                    private http::ServerCodec::Owner {
 public:
  class Owner {
   public:
    // Those in force now; asked once a request.
    virtual HttpRoutes& http_routes() = 0;
    // Those in force now, until http_routes() is asked again. What the codec is told of them it
    // keeps. Also asked by the constructor.
    virtual const config::HttpOptions& http_options() const = 0;
    // The counters of a request that has ended.
    virtual stats::RequestCells& CellsOf(const router::RequestInfo& info) = 0;
    // Something was refused: `reason` is a token for the metrics, `sentence` for the log.
    virtual void OnHttpRefused(absl::string_view reason, absl::string_view sentence) = 0;
    // A request was answered 503 because of a limit of the worker.
    virtual void OnHttpOverload(absl::string_view limit, absl::string_view sentence) = 0;
    // The connection is over; its stream is finished or reset.
    virtual void OnHttpDone(buffer::CloseReason reason) = 0;

   protected:
    ~Owner() = default;
  };

  HttpConnectionManager(HttpShared& shared, Owner& owner, HttpConnectionOptions options);
  ~HttpConnectionManager();

  // Becomes the stream's handler. `seen`: what was read already, with `end` its end.
  void Start(buffer::ByteStream& stream, http::Protocol protocol, buffer::Buffer& seen, bool end);

  // GOAWAY or `connection: close`; what runs finishes, then the connection ends.
  void StartDrain();
  // For a connection that comes while the proxy drains: there is nowhere else to go, so it is
  // served for a while, and ends when it has nothing to do.
  void StartDrainSoon();
  // Ends it at once with all its requests; the owner is told.
  void Abort(buffer::CloseReason reason);
  // Ends it if it has no request; for shedding.
  bool CloseIfIdle();

  http::Protocol protocol() const { return codec_->protocol(); }
  uint64_t requests() const { return requests_; }
  uint32_t active_requests() const { return active_; }
  uint64_t bytes_in() const { return bytes_in_; }
  uint64_t bytes_out() const { return framed_ - (closed_ ? 0 : stream_->unsent()); }
  bool draining() const { return codec_ != nullptr && codec_->draining(); }

 private:
  friend class HttpRequest;

  // buffer::ByteStream::Handler
  void OnData(buffer::ByteStream&, buffer::Buffer& data, bool end) override;
  void OnWritable(buffer::ByteStream&) override;
  void OnClosed(buffer::ByteStream&, buffer::CloseReason reason) override;
  // http::ServerCodec::Owner
  void OnRequest(http::ServerStream& stream) override;
  void OnBadRequest(uint16_t status, absl::string_view sentence) override;
  void OnCodecOutput() override { FrameAtTurnEnd(); }
  void OnCodecReadDisable(bool disable) override;
  void OnStreamGone() override;

  // Of HttpRequest.
  void Remove(HttpRequest& request);

  // It is to end as soon as it has no request.
  bool ending() const { return draining() || straggler_; }
  std::chrono::milliseconds last_requests() const;
  void TellError();
  void FrameAtTurnEnd();
  void Frame();
  void EndOutput(buffer::Buffer& last);
  void ArmBy(event::Instant deadline);
  void OnTimer();
  void TimeOutHead();
  void CloseIdle();
  void Finish(buffer::CloseReason reason);

  HttpShared& shared_;
  Owner& owner_;
  const HttpConnectionOptions options_;
  std::string client_cert_;  // the value that tells the application who calls; empty: none
  http::HeaderId client_cert_name_ = http::HeaderId::kXForwardedClientCert;
  std::string client_cert_chain_;  // beside Client-Cert; empty: none
  buffer::ByteStream* stream_ = nullptr;
  std::unique_ptr<http::ServerCodec> codec_;
  event::Task frame_;
  event::Timer timer_;
  event::Instant timer_at_ = event::Instant::max();
  event::Instant idle_since_{};
  event::Instant drain_at_ = event::Instant::max();  // by age
  event::Instant close_at_ = event::Instant::max();  // the peer has the last word until then
  event::Instant half_closed_at_ = event::Instant::max();
  event::Instant progress_at_{};  // of writing
  uint64_t progress_ = 0;
  uint64_t framed_ = 0;
  uint64_t bytes_in_ = 0;
  uint64_t requests_ = 0;
  HttpRequest* first_ = nullptr;
  uint32_t active_ = 0;
  bool read_disabled_ : 1 = false;
  bool read_ended_ : 1 = false;
  bool answer_ended_ : 1 = false;  // of a tunnel
  bool output_ended_ : 1 = false;
  bool closed_ : 1 = false;
  bool straggler_ : 1 = false;
  bool error_told_ : 1 = false;
  bool dying_ : 1 = false;  // nobody is to be told
};

}  // namespace countersign::filter

#endif  // COUNTERSIGN_PROXY_FILTER_HTTP_CONNECTION_MANAGER_H_
