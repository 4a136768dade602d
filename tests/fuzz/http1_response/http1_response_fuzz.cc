// Answers in HTTP/1 from any server, with an owner that does anything with its requests. Checked
// from outside: a stream ends once and is silent afterwards, an answer is complete once, and a
// connection is used again only when http-parser finds the same end of the same answer.
//
// Input: byte 0 is the size of the pieces, byte 1 the method, bytes 2 to 4 the owner's decisions,
// used in turn; the rest is what arrives.
#include <http_parser.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/buffer/buffer.h"
#include "proxy/http/h1/h1_client_codec.h"

namespace {

using countersign::buffer::Buffer;
using countersign::http::ClientCodec;
using countersign::http::ClientStream;
using countersign::http::CodecLimits;
using countersign::http::HeaderMap;
using countersign::http::Instant;
using countersign::http::RequestHead;
using countersign::http::ResponseHead;
using countersign::http::StreamEnd;
using countersign::http::h1::H1ClientCodec;

constexpr size_t kHeaderBytes = 5;

CodecLimits SmallLimits() {
  CodecLimits limits;
  limits.max_header_bytes = 4096;
  limits.max_request_line = 1024;
  return limits;
}

class Owner final : public ClientCodec::Owner, public ClientStream::Handler {
 public:
  Owner(uint8_t method, const uint8_t* decisions)
      : method_(method), decisions_(decisions), codec_(*this, SmallLimits()) {}

  void Begin() {
    stream_ = codec_.NewStream(*this);
    if (stream_ == nullptr) return;
    headers_ = complete_ = disabled_ = sent_ = false;
    ++requests_;
    RequestHead head;
    head.method = method_ % 4 == 1 ? "HEAD" : method_ % 4 == 2 ? "CONNECT" : "GET";
    head.authority = "a:1";
    head.path = head.method == "CONNECT" ? "" : "/";
    if (method_ % 4 == 3) head.upgrade = "websocket";
    sent_ = !head.opens_tunnel() && (decisions_ == nullptr || Decide() % 4 != 0);
    stream_->SendHeaders(head, sent_);
    Flush();
  }
  void Feed(const uint8_t* data, size_t size, bool end) {
    Buffer in;
    in.Append(data, size);
    codec_.Receive(in, end, Instant());
    Flush();
  }
  void Turn() {
    if (stream_ == nullptr) return Begin();
    Buffer data;
    switch (Decide() % 8) {
      case 0:
        Disable(!disabled_);
        break;
      case 1:
        if (!sent_) {
          sent_ = true;
          data.Append("bye");
          stream_->SendData(data, true);
        }
        break;
      case 2:
        if (!sent_) {
          sent_ = true;
          stream_->SendTrailers(HeaderMap());
        }
        break;
      case 3:
        if (Decide() % 8 == 0) {
          stream_->Reset();
          stream_ = nullptr;
        }
        break;
      default:
        break;
    }
    Flush();
  }
  void Close() {
    codec_.OnConnectionClosed();
    if (stream_ != nullptr || codec_.active_streams() != 0) std::abort();
  }
  bool reusable() {
    Flush();
    if (stream_ != nullptr || !codec_.error().empty()) return false;
    Begin();
    const bool usable = stream_ != nullptr;
    if (usable) {
      stream_->Reset();
      stream_ = nullptr;
    }
    return usable;
  }
  const std::string& body() const { return body_; }
  int requests() const { return requests_; }

  void OnInformational(ResponseHead& head) override {
    if (stream_ == nullptr || headers_ || head.status >= 200) std::abort();
  }
  void OnHeaders(ResponseHead& head, bool end) override {
    if (stream_ == nullptr || headers_ || head.status < 101 || head.status > 599) std::abort();
    headers_ = true;
    complete_ = end;
  }
  void OnData(Buffer& data, bool end) override {
    if (stream_ == nullptr || !headers_ || complete_) std::abort();
    complete_ = end;
    body_ += data.ToString();
    data.Clear();
    if (decisions_ != nullptr && Decide() % 8 == 0) Disable(!disabled_);
  }
  void OnTrailers(HeaderMap&) override {
    if (stream_ == nullptr || !headers_ || complete_) std::abort();
    complete_ = true;
  }
  void OnWritable() override {
    if (stream_ == nullptr) std::abort();
  }
  void OnEnd(StreamEnd end) override {
    if (stream_ == nullptr) std::abort();
    if (end == StreamEnd::kFinished && !complete_) std::abort();
    stream_ = nullptr;
  }
  void OnCodecOutput() override {}
  void OnCodecReadDisable(bool) override {}
  void OnStreamGone() override {}
  void OnPeerDraining() override {}

 private:
  uint8_t Decide() { return decisions_[next_decision_++ % 3]; }
  void Disable(bool disable) {
    if (disable == disabled_) return;
    disabled_ = disable;
    stream_->ReadDisable(disable);
  }
  void Flush() {
    for (int i = 0; i < 100'000; ++i) {
      Buffer out;
      if (!codec_.Produce(out, 64 * 1024) || out.empty()) return;
    }
    std::abort();
  }

  const uint8_t method_;
  const uint8_t* const decisions_;
  size_t next_decision_ = 0;
  ClientStream* stream_ = nullptr;
  bool headers_ = false;
  bool complete_ = false;
  bool disabled_ = false;
  bool sent_ = false;
  int requests_ = 0;
  std::string body_;
  H1ClientCodec codec_;
};

struct Oracle {
  bool head_request = false;
  std::string body;
  size_t finals = 0;
};

// The answer as http-parser reads it: how many bytes of `text` it takes, or 0.
size_t Ask(const std::string& text, Oracle* oracle) {
  http_parser_settings settings;
  http_parser_settings_init(&settings);
  settings.on_headers_complete = [](http_parser* parser) {
    // That these have no body is for its user to say.
    const bool none =
        static_cast<Oracle*>(parser->data)->head_request || parser->status_code == 304;
    return none ? 1 : 0;
  };
  settings.on_body = [](http_parser* parser, const char* at, size_t n) {
    static_cast<Oracle*>(parser->data)->body.append(at, n);
    return 0;
  };
  settings.on_message_complete = [](http_parser* parser) {
    if (parser->status_code < 200) return 0;
    ++static_cast<Oracle*>(parser->data)->finals;
    http_parser_pause(parser, 1);
    return 0;
  };
  http_parser parser;
  http_parser_init(&parser, HTTP_RESPONSE);
  parser.data = oracle;
  const size_t used = http_parser_execute(&parser, &settings, text.data(), text.size());
  return HTTP_PARSER_ERRNO(&parser) == HPE_PAUSED ? used : 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kHeaderBytes) return 0;
  const uint8_t* const text = data + kHeaderBytes;
  const size_t length = size - kHeaderBytes;
  {
    Owner owner(data[1], data + 2);
    owner.Begin();
    const size_t piece = data[0] + size_t{1};
    for (size_t i = 0; i < length; i += piece) {
      owner.Feed(text + i, std::min(piece, length - i), false);
      owner.Turn();
    }
    if ((data[2] & 1) != 0) owner.Feed(text, 0, true);
    owner.Close();
  }
  Owner plain(data[1] % 2, nullptr);
  plain.Begin();
  plain.Feed(text, length, false);
  if (plain.reusable()) {
    if (plain.requests() != 2) return 0;  // no answer came at all
    Oracle oracle;
    oracle.head_request = data[1] % 2 == 1;
    const size_t used = Ask({reinterpret_cast<const char*>(text), length}, &oracle);
    // http-parser stands on the last byte of what it was paused in.
    if (oracle.finals != 1 || used + 1 < length || oracle.body != plain.body()) std::abort();
  }
  plain.Close();
  return 0;
}
