// HTTP/1 from clients.
#ifndef COUNTERSIGN_PROXY_HTTP_H1_H1_SERVER_CODEC_H_
#define COUNTERSIGN_PROXY_HTTP_H1_H1_SERVER_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "proxy/http/codec.h"
#include "proxy/http/h1/body_reader.h"
#include "proxy/http/h1/body_writer.h"
#include "proxy/http/h1/head_collector.h"
#include "proxy/http/h1/head_encoder.h"
#include "proxy/http/h1/head_parser.h"

namespace countersign::http::h1 {

class H1ServerCodec;

// The one request that its codec is busy with; the same object for every one of them.
class H1ServerStream final : public ServerStream {
 public:
  explicit H1ServerStream(H1ServerCodec& codec) : codec_(codec) {}
  H1ServerStream(const H1ServerStream&) = delete;
  H1ServerStream& operator=(const H1ServerStream&) = delete;

  RequestHead& request() override { return request_; }
  bool request_complete() const override { return request_done_; }
  void SetHandler(Handler* handler) override { handler_ = handler; }
  void SendInformational(const ResponseHead& head) override;
  void SendHeaders(const ResponseHead& head, bool end) override;
  void SendData(buffer::Buffer& data, bool end) override;
  void SendTrailers(const HeaderMap& trailers) override;
  size_t unsent() const override;
  void ReadDisable(bool disable) override;
  void Reset() override;
  void StopRequest() override;

 private:
  friend class H1ServerCodec;

  H1ServerCodec& codec_;
  Handler* handler_ = nullptr;
  RequestHead request_;
  RequestFraming framing_;
  uint16_t read_disabled_ = 0;
  bool live_ = false;
  bool request_done_ = false;
  bool body_begun_ = false;
  bool continued_ = false;  // 100 was sent
  bool head_sent_ = false;
  bool response_done_ = false;
  bool stop_request_ = false;
  bool above_high_ = false;
};

// Pipelined requests wait in the buffer until the one before is answered; then the codec goes on by
// itself, from Produce. What comes after a request that may open a tunnel is held until its answer:
// bytes of the tunnel, or of nobody.
class H1ServerCodec final : public ServerCodec {
 public:
  H1ServerCodec(ServerCodec::Owner& owner, const CodecLimits& limits);
  H1ServerCodec(const H1ServerCodec&) = delete;
  H1ServerCodec& operator=(const H1ServerCodec&) = delete;
  ~H1ServerCodec() override { OnConnectionClosed(); }

  void Receive(buffer::Buffer& data, bool end, Instant now) override;
  bool Produce(buffer::Buffer& out, size_t limit) override;
  Ending ending() const override { return ending_; }
  bool wants_write() const override;
  void OnConnectionWritable() override {}
  void OnConnectionClosed() override;
  void StartDrain() override { draining_ = true; }
  bool draining() const override { return draining_; }
  Protocol protocol() const override { return Protocol::kHttp11; }
  uint32_t active_streams() const override { return stream_.live_ ? 1 : 0; }
  Instant head_since() const override { return head_since_; }
  const std::string& error() const override { return error_; }

 private:
  friend class H1ServerStream;

  enum class State : uint8_t {
    kHead,    // between requests, or in a head
    kBody,    // in a request's body
    kHeld,    // after a request that may open a tunnel
    kTunnel,  // opaque bytes
    kBusy,    // the request is complete, the response is not
    kDead,    // nothing more is read
  };
  // Pipelined bytes that are taken in while a request is busy.
  static constexpr size_t kMaxHeld = 64 * 1024;

  // Uses up what it can of what was received.
  void Process();
  bool ProcessHead();
  bool ProcessBody();
  bool ProcessTunnel();
  // Hands on what of a tunnel has come.
  void PassTunnel();
  void BeginRequest();
  void RequestDone();
  // The response was given whole, and no more of the request is awaited.
  bool finishing() const {
    return stream_.live_ && stream_.response_done_ &&
           (stream_.request_done_ || stream_.stop_request_ || state_ == State::kDead);
  }
  // Of a tunnel, the direction to the client is over.
  bool half_closed() const {
    return stream_.live_ && stream_.response_done_ && state_ == State::kTunnel;
  }
  // True if the response is out and the stream has ended.
  bool MaybeFinish();
  void EndStream(StreamEnd end);
  // Nothing more is read; the connection ends once what is written is gone.
  void Close();
  void Answer(const Fault& fault);
  void RefuseHead(const Fault& fault);
  void Fail(const Fault& fault, StreamEnd end);
  void NeedOutput();
  void UpdateReadDisable();
  void SendHead(const ResponseHead& head, bool end);
  void SendBody(buffer::Buffer& data, bool end);

  ServerCodec::Owner& owner_;
  const CodecLimits limits_;
  State state_ = State::kHead;
  buffer::Buffer in_;
  buffer::Buffer out_;
  buffer::Buffer body_;
  HeadCollector collector_;
  BodyReader reader_;
  BodyWriter writer_;
  HeadEncoder encoder_;
  H1ServerStream stream_{*this};
  Instant now_{};
  Instant head_since_ = Instant::max();
  bool keep_alive_ = true;
  bool draining_ = false;
  bool closing_ = false;
  Ending ending_ = Ending::kClose;
  bool peer_finished_ = false;
  bool processing_ = false;
  bool resume_ = false;  // reading was enabled again
  bool output_told_ = false;
  bool read_disable_told_ = false;
  std::string error_;
};

}  // namespace countersign::http::h1

#endif  // COUNTERSIGN_PROXY_HTTP_H1_H1_SERVER_CODEC_H_
