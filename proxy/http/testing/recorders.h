// Users of codecs that write down what they are told, for tests. Single-threaded.
#ifndef COUNTERSIGN_PROXY_HTTP_TESTING_RECORDERS_H_
#define COUNTERSIGN_PROXY_HTTP_TESTING_RECORDERS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/http/codec.h"

namespace countersign::http::testing {

// `name: value` lines, in order.
std::string Text(const HeaderMap& headers);

// One request as the server's user sees it.
struct Exchange final : public Stream::Handler {
  void OnData(buffer::Buffer& data, bool end) override;
  void OnTrailers(HeaderMap& fields) override;
  void OnWritable() override { ++writable; }
  void OnEnd(StreamEnd reason) override;

  // Answers `status` with a body of fixed length.
  void Respond(uint16_t status, const std::string& text);

  ServerStream* stream = nullptr;  // null once it has ended
  std::string method, scheme, authority, path, upgrade, headers;
  std::string body, trailers;
  Protocol protocol = Protocol::kHttp11;
  bool complete = false;  // the request has ended
  bool had_trailers = false;
  int writable = 0;
  int ends = 0;
  StreamEnd end = StreamEnd::kFinished;
  std::function<void(Exchange&)> on_data;
};

class ServerRecorder final : public ServerCodec::Owner {
 public:
  void OnRequest(ServerStream& stream) override;
  void OnBadRequest(uint16_t status, absl::string_view sentence) override;
  void OnCodecOutput() override { ++outputs; }
  void OnCodecReadDisable(bool disable) override { read_disabled = disable; }
  void OnStreamGone() override { ++gone; }

  std::vector<std::unique_ptr<Exchange>> requests;
  std::function<void(Exchange&)> on_request;
  std::vector<uint16_t> bad;
  std::string why;
  int outputs = 0;
  int gone = 0;
  bool read_disabled = false;
};

// One request as the client's user sees it.
struct Call final : public ClientStream::Handler {
  void OnInformational(ResponseHead& head) override;
  void OnHeaders(ResponseHead& head, bool end) override;
  void OnData(buffer::Buffer& data, bool end) override;
  void OnTrailers(HeaderMap& fields) override;
  void OnWritable() override { ++writable; }
  void OnEnd(StreamEnd reason) override;

  ClientStream* stream = nullptr;  // null once it has ended
  std::vector<uint16_t> informational;
  uint16_t status = 0;
  std::string headers, body, trailers;
  bool complete = false;
  bool had_trailers = false;
  int writable = 0;
  int ends = 0;
  StreamEnd end = StreamEnd::kFinished;
};

class ClientRecorder final : public ClientCodec::Owner {
 public:
  void OnCodecOutput() override { ++outputs; }
  void OnCodecReadDisable(bool disable) override { read_disabled = disable; }
  void OnStreamGone() override { ++gone; }
  void OnPeerDraining() override { ++draining; }

  int outputs = 0;
  int gone = 0;
  int draining = 0;
  bool read_disabled = false;
};

// A request head for `path`; add what else it needs.
void FillRequest(RequestHead& head, absl::string_view method, absl::string_view path);

// Feeds text to a codec, in pieces of `piece` bytes (0: at once).
void Feed(Codec& codec, absl::string_view bytes, size_t piece = 0, Instant now = Instant());
// All that the codec has to say; `open` (if not null): what Produce returned last.
std::string Drain(Codec& codec, bool* open = nullptr);
// Carries output across until both are silent.
void Converse(Codec& a, Codec& b, Instant now = Instant());

}  // namespace countersign::http::testing

#endif  // COUNTERSIGN_PROXY_HTTP_TESTING_RECORDERS_H_
