// HTTP/1 to servers.
#ifndef COUNTERSIGN_PROXY_HTTP_H1_H1_CLIENT_CODEC_H_
#define COUNTERSIGN_PROXY_HTTP_H1_H1_CLIENT_CODEC_H_

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

class H1ClientCodec;

// The one request that its codec is busy with; the same object for every one of them.
class H1ClientStream final : public ClientStream {
 public:
  explicit H1ClientStream(H1ClientCodec& codec) : codec_(codec) {}
  H1ClientStream(const H1ClientStream&) = delete;
  H1ClientStream& operator=(const H1ClientStream&) = delete;

  void SendHeaders(const RequestHead& head, bool end) override;
  void SendData(buffer::Buffer& data, bool end) override;
  void SendTrailers(const HeaderMap& trailers) override;
  size_t unsent() const override;
  void ReadDisable(bool disable) override;
  void Reset() override;

 private:
  friend class H1ClientCodec;

  H1ClientCodec& codec_;
  Handler* handler_ = nullptr;
  ResponseHead response_;
  ResponseContext context_;
  uint16_t read_disabled_ = 0;
  uint8_t informational_ = 0;
  bool live_ = false;
  bool upgrade_ = false;
  bool head_sent_ = false;
  bool head_left_ = false;  // the peer may have seen some of it
  bool request_done_ = false;
  bool head_received_ = false;
  bool response_done_ = false;
  bool above_high_ = false;
};

// A connection is used again only after an answer whose end is beyond doubt: both messages
// complete, nothing behind the response, no tunnel asked for.
class H1ClientCodec final : public ClientCodec {
 public:
  H1ClientCodec(ClientCodec::Owner& owner, const CodecLimits& limits);
  H1ClientCodec(const H1ClientCodec&) = delete;
  H1ClientCodec& operator=(const H1ClientCodec&) = delete;
  ~H1ClientCodec() override { OnConnectionClosed(); }

  ClientStream* NewStream(ClientStream::Handler& handler) override;
  // None any more once it is to close, though its owner closes it at the end of the turn only.
  uint32_t max_streams() const override { return closing_ ? 0 : 1; }

  void Receive(buffer::Buffer& data, bool end, Instant now) override;
  bool Produce(buffer::Buffer& out, size_t limit) override;
  Ending ending() const override { return ending_; }
  bool wants_write() const override;
  void OnConnectionWritable() override {}
  void OnConnectionClosed() override;
  void StartDrain() override;
  bool draining() const override { return draining_; }
  Protocol protocol() const override { return Protocol::kHttp11; }
  uint32_t active_streams() const override { return stream_.live_ ? 1 : 0; }
  Instant head_since() const override { return head_since_; }
  const std::string& error() const override { return error_; }

 private:
  friend class H1ClientStream;

  enum class State : uint8_t {
    kIdle,
    kHead,    // an answer is awaited
    kBody,    // in its body
    kTunnel,  // opaque bytes
    kDone,    // the answer is complete, the request is not
    kDead,    // nothing more is read
  };

  void Process();
  bool ProcessHead();
  bool ProcessBody();
  bool ProcessTunnel();
  // Hands on what of a tunnel has come.
  void PassTunnel();
  void OnHead();
  void ResponseDone();
  bool MaybeFinish();
  void EndStream(StreamEnd end);
  StreamEnd LostEnd() const;
  // Of a tunnel, the direction to the server is over.
  bool half_closed() const {
    return stream_.live_ && stream_.request_done_ && state_ == State::kTunnel;
  }
  void Close();
  void Break(const char* sentence);
  void NeedOutput();
  void UpdateReadDisable();
  void PeerDrains();
  void SendHead(const RequestHead& head, bool end);
  void SendBody(buffer::Buffer& data, bool end);

  ClientCodec::Owner& owner_;
  const CodecLimits limits_;
  State state_ = State::kIdle;
  buffer::Buffer in_;
  buffer::Buffer out_;
  buffer::Buffer body_;
  HeadCollector collector_;
  BodyReader reader_;
  BodyWriter writer_;
  HeadEncoder encoder_;
  H1ClientStream stream_{*this};
  Instant now_{};
  Instant head_since_ = Instant::max();
  bool keep_alive_ = true;
  bool draining_ = false;
  bool peer_drains_ = false;
  bool closing_ = false;
  Ending ending_ = Ending::kClose;
  bool broken_ = false;  // the stream is to end as kProtocolError
  bool peer_finished_ = false;
  bool processing_ = false;
  bool resume_ = false;  // reading was enabled again
  bool output_told_ = false;
  bool read_disable_told_ = false;
  std::string error_;
};

}  // namespace countersign::http::h1

#endif  // COUNTERSIGN_PROXY_HTTP_H1_H1_CLIENT_CODEC_H_
