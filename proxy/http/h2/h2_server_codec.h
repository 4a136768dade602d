// HTTP/2 from clients.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_H2_SERVER_CODEC_H_
#define COUNTERSIGN_PROXY_HTTP_H2_H2_SERVER_CODEC_H_

#include <string>

#include "absl/strings/string_view.h"
#include "proxy/http/codec.h"
#include "proxy/http/h2/session.h"
#include "proxy/http/h2/stream_core.h"

namespace countersign::http::h2 {

class H2ServerCodec;

// From the thread's pool, for as long as its request lasts.
class H2ServerStream final : public ServerStream, public StreamCore {
 public:
  H2ServerStream() = default;

  RequestHead& request() override { return request_; }
  bool request_complete() const override { return read_ended_; }
  void SetHandler(Handler* handler) override { handler_ = handler; }
  void SendInformational(const ResponseHead& head) override;
  void SendHeaders(const ResponseHead& head, bool end) override;
  void SendData(buffer::Buffer& data, bool end) override { Send(data, end); }
  void SendTrailers(const HeaderMap& trailers) override { StreamCore::SendTrailers(trailers); }
  size_t unsent() const override { return StreamCore::unsent(); }
  void ReadDisable(bool disable) override { DisableReading(disable); }
  void Reset() override;
  void StopRequest() override;

 private:
  friend class H2ServerCodec;

  H2ServerCodec& codec() const;

  RequestHead request_;
  bool may_decline_ = false;  // the client understands Session::kDeclined
};

// The rules of RFC 9113 for requests that nghttp2 leaves to its user are kept here: the form of
// `:path`, `:authority` against `host`, cookies in crumbs, limits on a head.
class H2ServerCodec final : public ServerCodec, private Session {
 public:
  H2ServerCodec(ServerCodec::Owner& owner, const CodecLimits& limits);
  ~H2ServerCodec() override { CloseStreams(); }

  void Receive(buffer::Buffer& data, bool end, Instant now) override {
    Session::Receive(data, end, now);
  }
  bool Produce(buffer::Buffer& out, size_t limit) override { return Session::Produce(out, limit); }
  bool wants_write() const override { return Session::wants_write(); }
  void OnConnectionWritable() override {}
  void OnConnectionClosed() override { CloseStreams(); }
  void StartDrain() override { StartGracefulGoaway(); }
  bool draining() const override { return Session::draining(); }
  Protocol protocol() const override { return Protocol::kHttp2; }
  uint32_t active_streams() const override { return Session::active_streams(); }
  Instant head_since() const override { return Session::head_since(); }
  const std::string& error() const override { return Session::error(); }

 private:
  friend class H2ServerStream;

  StreamCore* NewIncoming() override;
  bool AddPseudo(StreamCore& stream, absl::string_view name, absl::string_view value) override;
  HeaderMap& ReceivedHeaders(StreamCore& stream) override;
  void OnHead(StreamCore& stream, bool end) override;
  void OnNeverBegun(StreamCore& stream) override;
  void Recycle(StreamCore* stream) override;
  // Why the head breaks the rules; empty if it does not.
  absl::string_view CheckHead(RequestHead& head) const;
  void AddStatus(uint16_t status, bool upgrade);

  ServerCodec::Owner& requests_;
  char status_[4] = {};
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_H2_SERVER_CODEC_H_
