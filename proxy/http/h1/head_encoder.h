// Writes the heads of HTTP/1 messages.
#ifndef COUNTERSIGN_PROXY_HTTP_H1_HEAD_ENCODER_H_
#define COUNTERSIGN_PROXY_HTTP_H1_HEAD_ENCODER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "proxy/buffer/buffer.h"
#include "proxy/http/h1/head_parser.h"
#include "proxy/http/message.h"

namespace countersign::http::h1 {

// How to announce the body, and what becomes of the connection.
struct Announcement {
  enum class Length : uint8_t {
    kAsIs,     // the message's own Content-Length, if it has one
    kZero,     // `content-length: 0`
    kChunked,  // no Content-Length
    kNone,     // neither
  };
  Length length = Length::kAsIs;
  bool close = false;       // `connection: close`
  bool keep_alive = false;  // `connection: keep-alive`, for HTTP/1.0
  absl::string_view upgrade = {};
};

// One a connection. Puts a head together in memory of its own, which it keeps, and appends it in
// one piece.
class HeadEncoder {
 public:
  void Encode(const RequestHead& head, const Announcement& announcement, buffer::Buffer* out);
  void Encode(const ResponseHead& head, const Announcement& announcement, buffer::Buffer* out);
  // The last chunk with trailers.
  void EncodeTrailers(const HeaderMap& trailers, buffer::Buffer* out);

 private:
  static constexpr size_t kKeptBytes = 8192;

  void Reserve(size_t size);
  void Put(absl::string_view text);
  void PutField(absl::string_view name, absl::string_view value);
  void PutFields(const HeaderMap& headers, const Announcement& announcement);
  void PutConnection(const Announcement& announcement, bool te);
  void Finish(buffer::Buffer* out);

  std::unique_ptr<char[]> text_;
  size_t capacity_ = 0;
  size_t size_ = 0;
};

// `Not Found`; empty for what has no name.
absl::string_view ReasonPhrase(uint16_t status);

}  // namespace countersign::http::h1

#endif  // COUNTERSIGN_PROXY_HTTP_H1_HEAD_ENCODER_H_
