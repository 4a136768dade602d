// Requests in HTTP/1 from anybody, with an owner that answers in any way. Checked from outside: a
// stream ends once and is silent afterwards, pieces of any size make the same requests, and what
// our parser takes http-parser takes too, with the same method, fields and body.
//
// Input: byte 0 is the size of the pieces, bytes 1 to 4 the owner's decisions, used in turn; the
// rest is what arrives.
#include <http_parser.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proxy/buffer/buffer.h"
#include "proxy/http/h1/h1_server_codec.h"

namespace {

using countersign::buffer::Buffer;
using countersign::http::CodecLimits;
using countersign::http::Field;
using countersign::http::HeaderMap;
using countersign::http::Instant;
using countersign::http::RequestHead;
using countersign::http::ResponseHead;
using countersign::http::ServerCodec;
using countersign::http::ServerStream;
using countersign::http::Stream;
using countersign::http::StreamEnd;
using countersign::http::h1::H1ServerCodec;

constexpr size_t kHeaderBytes = 5;

CodecLimits SmallLimits() {
  CodecLimits limits;
  limits.max_header_bytes = 4096;
  limits.max_request_line = 1024;
  return limits;
}

// What one request was.
struct Seen {
  std::string head;
  std::string body;
  bool whole = false;
  bool tunnel = false;
};

class Owner final : public ServerCodec::Owner, public Stream::Handler {
 public:
  explicit Owner(const uint8_t* decisions) : decisions_(decisions), codec_(*this, SmallLimits()) {}

  void Feed(const uint8_t* data, size_t size, bool end) {
    Buffer in;
    in.Append(data, size);
    codec_.Receive(in, end, Instant());
    Flush();
  }
  // Answers what is open, so that the next request comes.
  void Turn() {
    if (stream_ != nullptr && decisions_ != nullptr && Decide() % 8 == 0) {
      Disable(!disabled_);
    } else if (stream_ != nullptr && !answered_) {
      Answer();
    }
    Flush();
  }
  void Finish() {
    for (int i = 0; i < 100'000 && stream_ != nullptr; ++i) {
      if (disabled_) Disable(false);
      if (!answered_) Answer();
      Flush();
      if (answered_ && stream_ != nullptr && (!done_ || tunnel_)) return;
    }
  }
  void Close() {
    codec_.OnConnectionClosed();
    if (stream_ != nullptr || codec_.active_streams() != 0) std::abort();
  }
  const std::vector<Seen>& seen() const { return seen_; }
  bool broken() const { return !codec_.error().empty(); }

  void OnRequest(ServerStream& stream) override {
    if (stream_ != nullptr) std::abort();
    stream_ = &stream;
    stream.SetHandler(this);
    answered_ = disabled_ = false;
    done_ = stream.request_complete();
    RequestHead& head = stream.request();
    Seen& seen = seen_.emplace_back();
    absl::StrAppend(&seen.head, head.method, " ", head.scheme, " ", head.authority, " ", head.path,
                    " ", head.upgrade, "\n");
    for (const Field& field : head.headers.fields()) {
      absl::StrAppend(&seen.head, field.name, ": ", field.value, "\n");
      if (field.name.empty()) std::abort();
    }
    seen.whole = done_;
    seen.tunnel = tunnel_ = head.opens_tunnel();
    if (decisions_ != nullptr && Decide() % 4 == 0) Answer();
  }
  void OnBadRequest(uint16_t status, absl::string_view sentence) override {
    if (status < 400 || status > 505 || sentence.empty() || stream_ != nullptr) std::abort();
  }
  void OnCodecOutput() override {}
  void OnCodecReadDisable(bool) override {}
  void OnStreamGone() override {}

  void OnData(Buffer& data, bool end) override {
    if (stream_ == nullptr || done_) std::abort();
    done_ = end;
    seen_.back().body += data.ToString();
    seen_.back().whole = end;
    data.Clear();
    if (decisions_ != nullptr && Decide() % 8 == 0) Disable(!disabled_);
  }
  void OnTrailers(HeaderMap&) override {
    if (stream_ == nullptr || done_) std::abort();
    done_ = true;
    seen_.back().whole = true;
  }
  void OnWritable() override {
    if (stream_ == nullptr) std::abort();
  }
  void OnEnd(StreamEnd) override {
    if (stream_ == nullptr) std::abort();
    stream_ = nullptr;
  }

 private:
  uint8_t Decide() { return decisions_[next_decision_++ % (kHeaderBytes - 1)]; }
  void Disable(bool disable) {
    if (disable == disabled_) return;
    disabled_ = disable;
    stream_->ReadDisable(disable);
  }
  void Answer() {
    answered_ = true;
    ResponseHead head;
    head.status = 200;
    const uint8_t what = decisions_ == nullptr ? 0 : Decide() % 8;
    Buffer data;
    switch (what) {
      case 0:
        stream_->SendHeaders(head, true);
        return;
      case 1:
        head.status = 101;
        stream_->SendHeaders(head, false);
        return;
      case 2:
        stream_->Reset();
        stream_ = nullptr;
        return;
      case 3:
        head.headers.Add(countersign::http::HeaderId::kContentLength, "3");
        stream_->SendHeaders(head, false);
        data.Append("abc");
        stream_->SendData(data, true);
        return;
      case 4:
        head.status = 413;
        stream_->SendHeaders(head, true);
        stream_->StopRequest();
        return;
      case 5:
        stream_->SendHeaders(head, false);
        stream_->SendTrailers(head.headers);
        return;
      default:
        head.status = 103;
        stream_->SendInformational(head);
        head.status = 200;
        stream_->SendHeaders(head, false);
        data.Append("chunk");
        stream_->SendData(data, true);
        return;
    }
  }
  void Flush() {
    for (int i = 0; i < 100'000; ++i) {
      Buffer out;
      if (!codec_.Produce(out, 64 * 1024) || out.empty()) return;
    }
    std::abort();
  }

  const uint8_t* const decisions_;
  size_t next_decision_ = 0;
  ServerStream* stream_ = nullptr;
  bool answered_ = false;
  bool disabled_ = false;
  bool done_ = false;
  bool tunnel_ = false;
  std::vector<Seen> seen_;
  H1ServerCodec codec_;
};

// The first request as http-parser reads it.
struct Oracle {
  std::string method;
  std::string body;
  bool complete = false;
};

bool Ask(const std::string& text, Oracle* oracle) {
  http_parser_settings settings;
  http_parser_settings_init(&settings);
  settings.on_headers_complete = [](http_parser* parser) {
    static_cast<Oracle*>(parser->data)->method =
        http_method_str(static_cast<http_method>(parser->method));
    return 0;
  };
  settings.on_body = [](http_parser* parser, const char* at, size_t n) {
    static_cast<Oracle*>(parser->data)->body.append(at, n);
    return 0;
  };
  settings.on_message_complete = [](http_parser* parser) {
    static_cast<Oracle*>(parser->data)->complete = true;
    http_parser_pause(parser, 1);
    return 0;
  };
  http_parser parser;
  http_parser_init(&parser, HTTP_REQUEST);
  parser.data = oracle;
  http_parser_execute(&parser, &settings, text.data(), text.size());
  const http_errno error = HTTP_PARSER_ERRNO(&parser);
  return error == HPE_OK || error == HPE_PAUSED;
}

// http-parser knows a list of methods, refuses a URL with a byte beyond ASCII, and takes every name
// that begins with Transfer-Encoding for that (ours is not in the head, so what is there is
// longer).
bool OracleCanJudge(const Seen& seen) {
  static const std::string* const kMethods =
      new std::string(" GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH ");
  const std::string method = seen.head.substr(0, seen.head.find(' '));
  if (!absl::StrContains(*kMethods, absl::StrCat(" ", method, " "))) return false;
  if (absl::StrContains(seen.head, "transfer-encoding")) return false;
  return std::all_of(seen.head.begin(), seen.head.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kHeaderBytes) return 0;
  const uint8_t* const text = data + kHeaderBytes;
  const size_t length = size - kHeaderBytes;
  {
    Owner owner(data + 1);
    const size_t piece = data[0] + size_t{1};
    for (size_t i = 0; i < length; i += piece) {
      owner.Feed(text + i, std::min(piece, length - i), false);
      owner.Turn();
    }
    owner.Feed(text, 0, (data[1] & 1) != 0);
    owner.Finish();
    owner.Close();
  }
  // Plain owners, at once and in pieces: the same requests.
  Owner whole(nullptr);
  whole.Feed(text, length, false);
  whole.Finish();
  Owner pieces(nullptr);
  const size_t piece = data[0] % 16 + size_t{1};
  for (size_t i = 0; i < length; i += piece) {
    pieces.Feed(text + i, std::min(piece, length - i), false);
  }
  pieces.Finish();
  if (whole.seen().size() != pieces.seen().size()) std::abort();
  for (size_t i = 0; i < whole.seen().size(); ++i) {
    if (whole.seen()[i].head != pieces.seen()[i].head) std::abort();
    if (whole.seen()[i].whole != pieces.seen()[i].whole) std::abort();
    // Of a body that breaks, the whole ones give less away: what is bad is found before.
    if (whole.seen()[i].whole && whole.seen()[i].body != pieces.seen()[i].body) std::abort();
  }
  if (!whole.seen().empty()) {
    const Seen& first = whole.seen()[0];
    if (first.whole && !first.tunnel && OracleCanJudge(first)) {
      Oracle oracle;
      if (!Ask({reinterpret_cast<const char*>(text), length}, &oracle)) std::abort();
      if (!oracle.complete || oracle.body != first.body) std::abort();
      if (first.head.substr(0, first.head.find(' ')) != oracle.method) std::abort();
    }
  }
  whole.Close();
  pieces.Close();
  return 0;
}
