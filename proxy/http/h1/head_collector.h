// Finds where a message's head ends.
#ifndef COUNTERSIGN_PROXY_HTTP_H1_HEAD_COLLECTOR_H_
#define COUNTERSIGN_PROXY_HTTP_H1_HEAD_COLLECTOR_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/buffer/buffer.h"

namespace countersign::http::h1 {

// A head that lies whole in the first slice of a buffer is used where it is. One that arrives in
// pieces is put together here; each byte is looked at once, however small the pieces.
class HeadCollector {
 public:
  enum class Result {
    kIncomplete,
    kComplete,  // head() is all of it, with its empty line
    kTooLarge,
    kLineTooLong,  // too large, and the first line has not ended
    kMalformed,    // a line that does not end with CR LF, or too many empty lines first
  };

  // Takes from `in` what belongs to the head; empty lines before it are dropped (RFC 9112, section
  // 2.2). After kComplete, call Consume once head() has been read.
  Result Collect(buffer::Buffer& in, size_t limit);
  absl::string_view head() const { return head_; }
  void Consume(buffer::Buffer& in);
  // A part of a head is here.
  bool partial() const { return !pieces_.empty(); }

 private:
  // More of them before a head are no accident.
  static constexpr int kMaxEmptyLines = 4;
  // What is kept for the next head that comes in pieces.
  static constexpr size_t kKeptBytes = 4096;

  static Result TooLarge(absl::string_view text) {
    return text.find('\n') == absl::string_view::npos ? Result::kLineTooLong : Result::kTooLarge;
  }

  std::string pieces_;
  size_t scanned_ = 0;
  int empty_lines_ = 0;
  absl::string_view head_;
  size_t in_first_slice_ = 0;  // bytes to drain from the buffer by Consume
};

// The end of the head in `text` (behind its empty line), 0 if it is not there, or npos for a line
// that ends in a bare LF. The first `from` bytes have been looked at before.
size_t FindHeadEnd(absl::string_view text, size_t from);

}  // namespace countersign::http::h1

#endif  // COUNTERSIGN_PROXY_HTTP_H1_HEAD_COLLECTOR_H_
