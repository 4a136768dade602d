// Frames from any client, with an owner that answers in any way. Checked from outside: a stream
// ends once and is silent afterwards, what the owner sees of a request keeps the rules, and output
// and memory stay bounded.
//
// Input: byte 0 says whether the client's preface and SETTINGS come before the input (bit 0); bytes
// 1 to 8 are the owner's decisions, used in turn; the rest arrives in pieces, each with its length
// in front.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "proxy/buffer/buffer.h"
#include "proxy/http/field_rules.h"
#include "proxy/http/h2/h2_server_codec.h"

namespace {

using countersign::buffer::Buffer;
using countersign::http::CodecLimits;
using countersign::http::Field;
using countersign::http::HeaderId;
using countersign::http::HeaderMap;
using countersign::http::Instant;
using countersign::http::IsFieldValue;
using countersign::http::IsForbiddenInTrailers;
using countersign::http::IsToken;
using countersign::http::RequestHead;
using countersign::http::ResponseHead;
using countersign::http::ServerCodec;
using countersign::http::ServerStream;
using countersign::http::Stream;
using countersign::http::StreamEnd;
using countersign::http::h2::H2ServerCodec;

constexpr size_t kDecisions = 8;
constexpr size_t kHeaderBytes = 1 + kDecisions;
constexpr size_t kOutputLimit = 64 * 1024;
constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
constexpr size_t kPrefaceBytes = sizeof kPreface - 1;

CodecLimits SmallLimits() {
  CodecLimits limits;
  limits.max_header_bytes = 4096;
  limits.max_headers = 32;
  limits.max_concurrent_streams = 8;
  limits.stream_window = 64 * 1024;
  limits.connection_window = 256 * 1024;
  limits.max_frame = 16 * 1024;
  return limits;
}

class Owner;

struct Request final : public Stream::Handler {
  explicit Request(Owner& owner) : owner(owner) {}
  void OnData(Buffer& data, bool end) override;
  void OnTrailers(HeaderMap& trailers) override;
  void OnWritable() override { Check(); }
  void OnEnd(StreamEnd end) override;
  void Check() const {
    if (stream == nullptr) std::abort();
  }

  Owner& owner;
  ServerStream* stream = nullptr;
  bool complete = false;
  bool head_sent = false;
  bool ended = false;
  bool disabled = false;
};

class Owner final : public ServerCodec::Owner {
 public:
  explicit Owner(const uint8_t* decisions) : decisions_(decisions) {}

  bool Feed(const uint8_t* data, size_t size, bool end = false) {
    now_ += std::chrono::milliseconds(Decide());
    Buffer in;
    in.Append(data, size);
    codec_.Receive(in, end, now_);
    return Flush();
  }
  void Act() {
    const uint8_t what = Decide();
    if (what % 32 == 31) codec_.StartDrain();
    if (requests_.empty()) return;
    auto it = requests_.begin();
    std::advance(it, Decide() % requests_.size());
    Do(*it->second, what);
    Flush();
    Bury();
  }
  void Close() {
    codec_.OnConnectionClosed();
    if (codec_.active_streams() != 0) std::abort();
    Bury();
    if (!requests_.empty()) std::abort();
  }

  void OnRequest(ServerStream& stream) override {
    const RequestHead& head = stream.request();
    if (!IsToken(head.method) || head.headers.size() > 33) std::abort();
    if (!head.is_connect() && (head.path.empty() || (head.path[0] != '/' && head.path != "*"))) {
      std::abort();
    }
    for (const Field& field : head.headers.fields()) {
      if (!IsToken(field.name) || !IsFieldValue(field.value)) std::abort();
      if (countersign::http::IsConnectionSpecific(field.id) &&
          field.id != HeaderId::kHttp2Settings) {
        std::abort();
      }
      if (field.id == HeaderId::kHost) std::abort();
    }
    auto request = std::make_unique<Request>(*this);
    request->stream = &stream;
    request->complete = stream.request_complete();
    stream.SetHandler(request.get());
    Request& known = *(requests_[request.get()] = std::move(request));
    Do(known, Decide());
  }
  void OnBadRequest(uint16_t status, absl::string_view sentence) override {
    if ((status != 0 && status != 431) || sentence.empty()) std::abort();
  }
  void OnCodecOutput() override {}
  void OnCodecReadDisable(bool) override {}
  void OnStreamGone() override {}

  void Do(Request& request, uint8_t what) {
    if (request.stream == nullptr) return;
    ServerStream& stream = *request.stream;
    ResponseHead head;
    head.status = 200;
    Buffer data;
    switch (what % 8) {
      case 0:
        if (!request.head_sent) {
          head.headers.Add("x-a", "b");
          stream.SendHeaders(head, true);
          request.head_sent = request.ended = true;
        }
        break;
      case 1:
      case 2:
        if (!request.head_sent) {
          head.status = stream.request().upgrade.empty() ? 200 : 101;
          stream.SendHeaders(head, false);
          request.head_sent = true;
        }
        if (!request.ended && stream.unsent() < kOutputLimit) {
          data.Append(std::string(what * 50, 'd'));
          request.ended = what % 2 == 0;
          stream.SendData(data, request.ended);
        }
        break;
      case 3:
        if (request.head_sent && !request.ended) {
          request.ended = true;
          head.headers.Add("x-t", "u");
          stream.SendTrailers(head.headers);
        }
        break;
      case 4:
        request.disabled = !request.disabled;
        stream.ReadDisable(request.disabled);
        break;
      case 5:
        request.stream = nullptr;
        stream.Reset();
        break;
      case 6:
        if (request.ended) stream.StopRequest();
        break;
      default:
        head.status = 103;
        stream.SendInformational(head);
        break;
    }
  }
  uint8_t Decide() { return decisions_[next_decision_++ % kDecisions]; }

 private:
  void Bury() {
    for (auto it = requests_.begin(); it != requests_.end();) {
      it = it->second->stream == nullptr ? requests_.erase(it) : std::next(it);
    }
  }
  bool Flush() {
    // A session that always has more to say would be a fault of its own.
    for (int i = 0; i < 1000; ++i) {
      Buffer out;
      if (!codec_.Produce(out, kOutputLimit)) return false;
      if (out.empty()) return true;
      // The limit may be overrun by a frame, not by more.
      if (out.size() > 2 * kOutputLimit) std::abort();
    }
    std::abort();
  }

  const uint8_t* const decisions_;
  size_t next_decision_ = 0;
  Instant now_{};
  std::map<Request*, std::unique_ptr<Request>> requests_;
  H2ServerCodec codec_{*this, SmallLimits()};
};

void Request::OnData(Buffer& data, bool end) {
  Check();
  if (complete) std::abort();
  complete = end;
  data.Clear();
  owner.Do(*this, owner.Decide());
}

void Request::OnTrailers(HeaderMap& trailers) {
  Check();
  if (complete) std::abort();
  complete = true;
  for (const Field& field : trailers.fields()) {
    if (IsForbiddenInTrailers(field) || !IsToken(field.name)) std::abort();
  }
}

void Request::OnEnd(StreamEnd) {
  Check();
  stream = nullptr;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kHeaderBytes) return 0;
  Owner owner(data + 1);
  bool alive = true;
  if ((data[0] & 1) != 0) {
    alive = owner.Feed(reinterpret_cast<const uint8_t*>(kPreface), kPrefaceBytes);
  }
  for (size_t i = kHeaderBytes; alive && i < size;) {
    const size_t length = std::min<size_t>(data[i] + 1, size - i - 1);
    ++i;
    alive = owner.Feed(data + i, length);
    i += length;
    if (alive) owner.Act();
  }
  if (alive && (data[0] & 2) != 0) owner.Feed(data, 0, true);
  owner.Close();
  return 0;
}
