// Frames from any server, with an owner that does anything with its requests. Checked from outside:
// a stream ends once and is silent afterwards, an answer is complete once, output stays bounded.
//
// Input: bytes 0 to 7 are the owner's decisions, used in turn; the rest arrives in pieces, each
// with its length in front. Before it come the server's SETTINGS.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "proxy/buffer/buffer.h"
#include "proxy/http/field_rules.h"
#include "proxy/http/h2/h2_client_codec.h"

namespace {

using countersign::buffer::Buffer;
using countersign::http::ClientCodec;
using countersign::http::ClientStream;
using countersign::http::CodecLimits;
using countersign::http::Field;
using countersign::http::HeaderMap;
using countersign::http::Instant;
using countersign::http::IsFieldValue;
using countersign::http::IsForbiddenInTrailers;
using countersign::http::IsToken;
using countersign::http::RequestHead;
using countersign::http::ResponseHead;
using countersign::http::StreamEnd;
using countersign::http::h2::H2ClientCodec;

constexpr size_t kDecisions = 8;
constexpr size_t kOutputLimit = 64 * 1024;
constexpr char kSettings[] = "\0\0\0\4\0\0\0\0\0";

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

struct Call final : public ClientStream::Handler {
  explicit Call(Owner& owner) : owner(owner) {}
  void OnInformational(ResponseHead& head) override {
    if (stream == nullptr || headers || head.status < 100 || head.status > 199) std::abort();
  }
  void OnHeaders(ResponseHead& head, bool end) override;
  void OnData(Buffer& data, bool end) override;
  void OnTrailers(HeaderMap& trailers) override;
  void OnWritable() override {
    if (stream == nullptr) std::abort();
  }
  void OnEnd(StreamEnd end) override {
    if (stream == nullptr || (end == StreamEnd::kFinished && !complete)) std::abort();
    stream = nullptr;
  }

  Owner& owner;
  ClientStream* stream = nullptr;
  bool headers = false;
  bool complete = false;
  bool ended = false;
  bool disabled = false;
};

class Owner final : public ClientCodec::Owner {
 public:
  explicit Owner(const uint8_t* decisions) : decisions_(decisions) {
    for (int i = 0; i < 3; ++i) Begin();
    Flush();
  }

  bool Feed(const uint8_t* data, size_t size, bool end = false) {
    now_ += std::chrono::milliseconds(Decide());
    Buffer in;
    in.Append(data, size);
    codec_.Receive(in, end, now_);
    return Flush();
  }
  void Act() {
    const uint8_t what = Decide();
    if (what % 64 == 63) codec_.StartDrain();
    if (calls_.empty() || what % 8 == 7) return Begin();
    auto it = calls_.begin();
    std::advance(it, Decide() % calls_.size());
    Do(*it->second, what);
    Flush();
    Bury();
  }
  void Close() {
    codec_.OnConnectionClosed();
    if (codec_.active_streams() != 0) std::abort();
    Bury();
    if (!calls_.empty()) std::abort();
  }
  void Do(Call& call, uint8_t what) {
    if (call.stream == nullptr) return;
    ClientStream& stream = *call.stream;
    Buffer data;
    switch (what % 8) {
      case 0:
      case 1:
        if (!call.ended && stream.unsent() < kOutputLimit) {
          data.Append(std::string(what * 50, 'd'));
          call.ended = what % 2 == 0;
          stream.SendData(data, call.ended);
        }
        break;
      case 2:
        call.disabled = !call.disabled;
        stream.ReadDisable(call.disabled);
        break;
      case 3:
        call.stream = nullptr;
        stream.Reset();
        break;
      case 4:
        if (!call.ended) {
          call.ended = true;
          HeaderMap trailers;
          trailers.Add("x-t", "u");
          stream.SendTrailers(trailers);
        }
        break;
      default:
        break;
    }
  }
  uint8_t Decide() { return decisions_[next_decision_++ % kDecisions]; }

  void OnCodecOutput() override {}
  void OnCodecReadDisable(bool) override {}
  void OnStreamGone() override {}
  void OnPeerDraining() override {}

 private:
  void Begin() {
    auto call = std::make_unique<Call>(*this);
    call->stream = codec_.NewStream(*call);
    if (call->stream == nullptr) return;
    Call& known = *(calls_[call.get()] = std::move(call));
    RequestHead head;
    const uint8_t what = Decide();
    head.method = what % 8 == 0 ? "HEAD" : what % 8 == 1 ? "CONNECT" : "POST";
    head.authority = "a:1";
    head.path = head.method == "CONNECT" ? "" : "/";
    if (what % 8 == 2) {
      head.method = "GET";
      head.upgrade = "websocket";
    }
    known.ended = what % 8 > 5;
    known.stream->SendHeaders(head, known.ended);
  }
  void Bury() {
    for (auto it = calls_.begin(); it != calls_.end();) {
      it = it->second->stream == nullptr ? calls_.erase(it) : std::next(it);
    }
  }
  bool Flush() {
    for (int i = 0; i < 1000; ++i) {
      Buffer out;
      if (!codec_.Produce(out, kOutputLimit)) return false;
      if (out.empty()) return true;
      if (out.size() > 2 * kOutputLimit) std::abort();
    }
    std::abort();
  }

  const uint8_t* const decisions_;
  size_t next_decision_ = 0;
  Instant now_{};
  std::map<Call*, std::unique_ptr<Call>> calls_;
  H2ClientCodec codec_{*this, SmallLimits()};
};

void Call::OnHeaders(ResponseHead& head, bool end) {
  if (stream == nullptr || headers || head.status < 101) std::abort();
  headers = true;
  complete = end;
  for (const Field& field : head.headers.fields()) {
    if (!IsToken(field.name) || !IsFieldValue(field.value)) std::abort();
  }
  owner.Do(*this, owner.Decide());
}

void Call::OnData(Buffer& data, bool end) {
  if (stream == nullptr || !headers || complete) std::abort();
  complete = end;
  data.Clear();
  owner.Do(*this, owner.Decide());
}

void Call::OnTrailers(HeaderMap& trailers) {
  if (stream == nullptr || !headers || complete) std::abort();
  complete = true;
  for (const Field& field : trailers.fields()) {
    if (IsForbiddenInTrailers(field)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kDecisions) return 0;
  Owner owner(data);
  bool alive = owner.Feed(reinterpret_cast<const uint8_t*>(kSettings), sizeof kSettings - 1);
  for (size_t i = kDecisions; alive && i < size;) {
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
