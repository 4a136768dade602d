// An HBONE session, in both roles, between a peer that sends anything and an owner that does
// anything with its streams. The rules of TunnelSession and ByteStream are checked from outside:
// nothing comes after OnClosed, and what waits to be sent is bounded.
//
// Input: byte 0 is the role (bit 0) and whether a server gets the client's preface and SETTINGS
// before the input (bit 1); bytes 1 to 8 are the owner's decisions, used in turn; the rest arrives
// in pieces, each with its length in front.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/buffer/buffer.h"
#include "proxy/buffer/byte_stream.h"
#include "proxy/http/h2/tunnel_session.h"

namespace {

using countersign::buffer::Buffer;
using countersign::buffer::ByteStream;
using countersign::buffer::CloseReason;
using countersign::http::h2::FrameBudget;
using countersign::http::h2::TunnelSession;
using countersign::http::h2::TunnelStream;

constexpr size_t kDecisions = 8;
constexpr size_t kHeaderBytes = 1 + kDecisions;
constexpr size_t kOutputLimit = 64 * 1024;
constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
constexpr size_t kPrefaceBytes = sizeof kPreface - 1;

// Owns the streams and decides by the input's bytes what becomes of each event.
class Owner final : public TunnelSession::Owner, public ByteStream::Handler {
 public:
  Owner(TunnelSession::Role role, const uint8_t* decisions)
      : decisions_(decisions), session_(role, *this, SmallLimits()) {
    if (role == TunnelSession::Role::kClient) {
      for (int i = 0; i < 3; ++i) OpenStream();
    }
  }

  // False when the session is over.
  bool Feed(const uint8_t* data, size_t size) {
    now_ += std::chrono::milliseconds(Decide());
    Buffer in;
    in.Append(data, size);
    const bool alive = session_.Receive(in, now_);
    Flush();
    dead_.clear();
    return alive;
  }

  void Act() {
    const uint8_t what = Decide();
    if (streams_.empty()) {
      if ((what & 1) != 0) OpenStream();
      return;
    }
    auto it = streams_.begin();
    std::advance(it, Decide() % streams_.size());
    State& state = it->second;
    switch (what % 8) {
      case 0:
        Write(state, "bytes", false);
        break;
      case 1:
        Write(state, "", true);
        break;
      case 2:
        Disable(state, !state.disabled);
        break;
      case 3:
        state.stream->Reset();
        streams_.erase(it);
        break;
      case 4:
        streams_.erase(it);  // destroying an open stream resets it
        break;
      case 5:
        session_.StartDrain();
        break;
      case 6:
        state.stream->Accept();
        break;
      default:
        OpenStream();
        break;
    }
    Flush();
  }

  // The connection is gone; the streams outlive the session's knowledge of them.
  void Close() {
    session_.CloseStreams(CloseReason::kTunnelLost);
    if (session_.active_streams() != 0) std::abort();
    if (!streams_.empty()) std::abort();
    dead_.clear();
  }

  void OnSessionOutput() override {}
  void OnSessionDraining() override {}
  void OnStreamGone() override {}

  void OnTunnelRequest(std::unique_ptr<TunnelStream> stream, absl::string_view) override {
    switch (Decide() % 4) {
      case 0:
        stream->Refuse(403, "no");
        return;
      case 1:
        return;  // destroyed: reset
      case 2:
        Adopt(std::move(stream));
        return;
      default:
        stream->Accept();
        Adopt(std::move(stream));
        return;
    }
  }

  void OnOpen(ByteStream& stream) override { Find(stream); }

  void OnData(ByteStream& stream, Buffer& data, bool end) override {
    State& state = Find(stream);
    if (state.read_ended) std::abort();
    state.read_ended = end;
    const uint8_t what = Decide() % 4;
    if (what == 0 && !state.write_ended && state.stream->unsent() < kOutputLimit) {
      state.write_ended = end;
      state.stream->Write(data, end);
    }
    data.Clear();
    if (what == 1) Disable(state, !state.disabled);
  }

  void OnWritable(ByteStream& stream) override { Find(stream); }

  void OnClosed(ByteStream& stream, CloseReason reason) override {
    if (reason == CloseReason::kNone) std::abort();
    State& state = Find(stream);
    dead_.push_back(std::move(state.stream));
    streams_.erase(&stream);
  }

 private:
  struct State {
    std::unique_ptr<TunnelStream> stream;
    bool disabled = false;
    bool read_ended = false;
    bool write_ended = false;
  };

  static TunnelSession::Limits SmallLimits() {
    return {.max_concurrent_streams = 8,
            .stream_window = 64 * 1024,
            .connection_window = 256 * 1024,
            .max_frame = 16 * 1024,
            .max_header_bytes = 1024};
  }

  uint8_t Decide() { return decisions_[next_decision_++ % kDecisions]; }

  // Of an event: the stream must be one that has not been closed.
  State& Find(ByteStream& stream) {
    const auto it = streams_.find(&stream);
    if (it == streams_.end()) std::abort();
    return it->second;
  }

  void Adopt(std::unique_ptr<TunnelStream> stream) {
    stream->SetHandler(this);
    ByteStream* const key = stream.get();
    streams_[key].stream = std::move(stream);
  }

  void OpenStream() {
    if (std::unique_ptr<TunnelStream> stream = session_.Open("10.0.0.1:80")) {
      Adopt(std::move(stream));
    }
  }

  static void Write(State& state, const std::string& text, bool end) {
    if (state.write_ended || state.stream->unsent() > kOutputLimit) return;
    state.write_ended = end;
    Buffer data;
    data.Append(text);
    state.stream->Write(data, end);
  }

  static void Disable(State& state, bool disable) {
    state.disabled = disable;
    state.stream->ReadDisable(disable);
  }

  void Flush() {
    // A session that always has more to say would be a fault of its own.
    for (int i = 0; i < 1000; ++i) {
      Buffer out;
      if (!session_.Produce(out, kOutputLimit) || out.empty()) return;
      // The limit may be overrun by a frame, not by more.
      if (out.size() > 2 * kOutputLimit) std::abort();
    }
    std::abort();
  }

  const uint8_t* const decisions_;
  size_t next_decision_ = 0;
  FrameBudget::Instant now_{};
  std::map<ByteStream*, State> streams_;
  std::vector<std::unique_ptr<TunnelStream>> dead_;
  TunnelSession session_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kHeaderBytes) return 0;
  const bool server = (data[0] & 1) != 0;
  Owner owner(server ? TunnelSession::Role::kServer : TunnelSession::Role::kClient, data + 1);
  bool alive = true;
  if ((data[0] & 2) != 0) {
    // A server's own preface is a SETTINGS frame alone.
    const auto* preface = reinterpret_cast<const uint8_t*>(kPreface);
    const size_t skip = server ? 0 : kPrefaceBytes - 9;
    alive = owner.Feed(preface + skip, kPrefaceBytes - skip);
  }
  for (size_t i = kHeaderBytes; alive && i < size;) {
    const size_t length = std::min<size_t>(data[i] + 1, size - i - 1);
    ++i;
    alive = owner.Feed(data + i, length);
    i += length;
    if (alive) owner.Act();
  }
  owner.Close();
  return 0;
}
