// Puts a message's body into its framing.
#ifndef COUNTERSIGN_PROXY_HTTP_H1_BODY_WRITER_H_
#define COUNTERSIGN_PROXY_HTTP_H1_BODY_WRITER_H_

#include <cstdint>

#include "proxy/buffer/buffer.h"
#include "proxy/http/h1/head_encoder.h"
#include "proxy/http/h1/head_parser.h"

namespace countersign::http::h1 {

// Never writes what its head did not announce: a body that is longer than its Content-Length would
// be read as the next message.
class BodyWriter {
 public:
  void Start(BodyKind kind, uint64_t length) {
    kind_ = kind;
    left_ = length;
  }
  // The message ends with its connection, and so looks whole whenever that ends.
  bool until_close() const { return kind_ == BodyKind::kUntilClose; }
  // Moves `data` to `out`, framed. False if the body disagrees with its head: the connection must
  // end, so that the peer sees that it is not whole.
  bool Write(buffer::Buffer& data, bool end, buffer::Buffer* out);
  // The end, with trailers where the framing has room for them.
  bool WriteTrailers(const HeaderMap& trailers, HeadEncoder& encoder, buffer::Buffer* out);

 private:
  BodyKind kind_ = BodyKind::kNone;
  uint64_t left_ = 0;
};

}  // namespace countersign::http::h1

#endif  // COUNTERSIGN_PROXY_HTTP_H1_BODY_WRITER_H_
