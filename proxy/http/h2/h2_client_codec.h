// HTTP/2 to servers.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_H2_CLIENT_CODEC_H_
#define COUNTERSIGN_PROXY_HTTP_H2_H2_CLIENT_CODEC_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/http/codec.h"
#include "proxy/http/h2/session.h"
#include "proxy/http/h2/stream_core.h"

namespace countersign::http::h2 {

class H2ClientCodec;

// From the thread's pool, for as long as its request lasts.
class H2ClientStream final : public ClientStream, public StreamCore {
 public:
  H2ClientStream() = default;

  void SendHeaders(const RequestHead& head, bool end) override;
  void SendData(buffer::Buffer& data, bool end) override { Send(data, end); }
  void SendTrailers(const HeaderMap& trailers) override { StreamCore::SendTrailers(trailers); }
  size_t unsent() const override { return StreamCore::unsent(); }
  void ReadDisable(bool disable) override { DisableReading(disable); }
  void Reset() override;

 private:
  friend class H2ClientCodec;

  H2ClientCodec& codec() const;
  ClientStream::Handler& handler() const { return static_cast<ClientStream::Handler&>(*handler_); }

  ResponseHead response_;
  bool upgrade_ = false;
  // An extended CONNECT that waits for the peer's SETTINGS (RFC 8441, section 3).
  std::unique_ptr<RequestHead> waiting_;
};

class H2ClientCodec final : public ClientCodec, private Session {
 public:
  H2ClientCodec(ClientCodec::Owner& owner, const CodecLimits& limits);
  ~H2ClientCodec() override { CloseStreams(); }

  ClientStream* NewStream(ClientStream::Handler& handler) override;
  uint32_t max_streams() const override;

  void Receive(buffer::Buffer& data, bool end, Instant now) override {
    Session::Receive(data, end, now);
  }
  bool Produce(buffer::Buffer& out, size_t limit) override { return Session::Produce(out, limit); }
  bool wants_write() const override { return Session::wants_write(); }
  void OnConnectionWritable() override {}
  void OnConnectionClosed() override { CloseStreams(); }
  void StartDrain() override;
  bool draining() const override { return Session::draining(); }
  Protocol protocol() const override { return Protocol::kHttp2; }
  uint32_t active_streams() const override { return Session::active_streams(); }
  Instant head_since() const override { return Session::head_since(); }
  const std::string& error() const override { return Session::error(); }

 private:
  friend class H2ClientStream;

  StreamCore* NewIncoming() override { return nullptr; }
  bool AddPseudo(StreamCore& stream, absl::string_view name, absl::string_view value) override;
  HeaderMap& ReceivedHeaders(StreamCore& stream) override;
  void OnHead(StreamCore& stream, bool end) override;
  void OnNeverBegun(StreamCore&) override {}
  void OnSettings() override;
  void OnGoaway() override;
  void Recycle(StreamCore* stream) override;
  void Submit(H2ClientStream& stream, const RequestHead& head, bool end);

  ClientCodec::Owner& requests_;
  uint32_t waiting_ = 0;
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_H2_CLIENT_CODEC_H_
