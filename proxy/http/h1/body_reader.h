// Takes the framing off a message's body.
#ifndef COUNTERSIGN_PROXY_HTTP_H1_BODY_READER_H_
#define COUNTERSIGN_PROXY_HTTP_H1_BODY_READER_H_

#include <cstdint>
#include <string>

#include "proxy/buffer/buffer.h"
#include "proxy/http/h1/head_parser.h"

namespace countersign::http::h1 {

// The chunked coding (RFC 9112, section 7.1) is read strictly: CR LF and nothing else ends a line,
// a size is of hexadecimal digits alone, extensions are skipped and bounded.
class BodyReader {
 public:
  enum class Result {
    kMore,  // all that was there is used up
    kDone,
    kDoneWithTrailers,
    kBad,  // fault() says why
  };

  void Start(BodyKind kind, uint64_t length, const CodecLimits& limits);
  // Moves the body's bytes from `in` to `out`. What follows the body stays in `in`.
  Result Read(buffer::Buffer& in, buffer::Buffer& out);
  // The connection's end is the body's.
  bool until_close() const { return kind_ == BodyKind::kUntilClose; }
  const Fault& fault() const { return fault_; }
  // After kDoneWithTrailers.
  HeaderMap& trailers() { return trailers_; }

 private:
  enum class State : uint8_t {
    kRaw,   // `left_` bytes, or all until the end
    kSize,  // a chunk's size, at least one digit to come
    kSizeDigits,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailers,
    kDone,
  };
  // 15 digits cannot overflow, and make more than anyone sends.
  static constexpr int kMaxSizeDigits = 15;
  // Of one chunk; and of all of a body's, beyond as many bytes as it has itself, so that it cannot
  // be made of them.
  static constexpr uint32_t kMaxExtension = 256;
  static constexpr uint64_t kMaxExtensions = 16 * 1024;

  Result Bad(const char* sentence);
  // The line's bytes, up to what needs more than one byte at a time.
  Result ReadByte(uint8_t byte);
  Result FinishTrailers();

  const CodecLimits* limits_ = nullptr;
  BodyKind kind_ = BodyKind::kNone;
  State state_ = State::kDone;
  uint64_t left_ = 0;
  int digits_ = 0;
  uint32_t extension_ = 0;    // bytes of the chunk's
  uint64_t extensions_ = 0;   // of all
  uint64_t chunk_bytes_ = 0;  // of the body, out of chunks
  std::string trailer_text_;
  HeaderMap trailers_;
  Fault fault_;
};

}  // namespace countersign::http::h1

#endif  // COUNTERSIGN_PROXY_HTTP_H1_BODY_READER_H_
