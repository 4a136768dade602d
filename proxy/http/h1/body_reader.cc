#include "proxy/http/h1/body_reader.h"

#include <algorithm>

#include "absl/strings/string_view.h"

namespace countersign::http::h1 {

namespace {

int HexDigit(uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

}  // namespace

void BodyReader::Start(BodyKind kind, uint64_t length, const CodecLimits& limits) {
  limits_ = &limits;
  kind_ = kind;
  left_ = length;
  digits_ = 0;
  extension_ = 0;
  extensions_ = chunk_bytes_ = 0;
  fault_ = {};
  trailer_text_.clear();
  if (!trailers_.empty()) trailers_.Clear();
  switch (kind) {
    case BodyKind::kNone:
      state_ = State::kDone;
      break;
    case BodyKind::kChunked:
      state_ = State::kSize;
      break;
    case BodyKind::kLength:
    case BodyKind::kUntilClose:
      state_ = State::kRaw;
      break;
  }
}

BodyReader::Result BodyReader::Bad(const char* sentence) {
  fault_ = {400, sentence};
  return Result::kBad;
}

BodyReader::Result BodyReader::Read(buffer::Buffer& in, buffer::Buffer& out) {
  while (state_ != State::kDone) {
    if (in.empty()) return Result::kMore;
    if (state_ == State::kRaw && kind_ == BodyKind::kUntilClose) {
      out.Move(in);
      return Result::kMore;
    }
    if (state_ == State::kRaw || state_ == State::kData) {
      const size_t n = static_cast<size_t>(std::min<uint64_t>(left_, in.size()));
      out.Move(in, n);
      left_ -= n;
      chunk_bytes_ += n;
      if (left_ > 0) return Result::kMore;
      state_ = state_ == State::kRaw ? State::kDone : State::kDataCr;
      continue;
    }
    // Lines: a few bytes between runs of data, so one at a time, and drained in one go.
    buffer::Slice* slice = in.front();
    const uint8_t* const bytes = slice->data();
    const uint32_t size = slice->size();
    uint32_t used = 0;
    Result result = Result::kMore;
    while (used < size && result == Result::kMore && state_ != State::kData &&
           state_ != State::kDone) {
      result = ReadByte(bytes[used++]);
    }
    in.Drain(used);
    if (result != Result::kMore) return result;
  }
  return Result::kDone;
}

BodyReader::Result BodyReader::ReadByte(uint8_t byte) {
  switch (state_) {
    case State::kSize:
    case State::kSizeDigits:
      if (const int digit = HexDigit(byte); digit >= 0) {
        if (++digits_ > kMaxSizeDigits) return Bad("a chunk's size has more than 15 digits");
        left_ = left_ * 16 + static_cast<uint64_t>(digit);
        state_ = State::kSizeDigits;
        return Result::kMore;
      }
      if (state_ == State::kSize) return Bad("a chunk's size does not begin with a digit");
      if (byte == '\r') {
        state_ = State::kSizeLf;
      } else if (byte == ';') {
        state_ = State::kExtension;
      } else {
        return Bad("a chunk's size has a byte that is no hexadecimal digit");
      }
      return Result::kMore;
    case State::kExtension:
      if (byte == '\r') {
        state_ = State::kSizeLf;
        return Result::kMore;
      }
      if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
        return Bad("a chunk's extension has a control byte in it");
      }
      if (++extension_ > kMaxExtension) return Bad("a chunk's extension is longer than 256 bytes");
      if (++extensions_ > kMaxExtensions + chunk_bytes_) {
        return Bad("chunk extensions are longer than the body and 16 KiB");
      }
      return Result::kMore;
    case State::kSizeLf:
      if (byte != '\n') return Bad("the line of a chunk's size does not end with CR LF");
      digits_ = 0;
      extension_ = 0;
      state_ = left_ > 0 ? State::kData : State::kTrailers;
      return Result::kMore;
    case State::kDataCr:
      if (byte != '\r') return Bad("a chunk is longer than its size says");
      state_ = State::kDataLf;
      return Result::kMore;
    case State::kDataLf:
      if (byte != '\n') return Bad("a chunk does not end with CR LF");
      state_ = State::kSize;
      left_ = 0;
      return Result::kMore;
    case State::kTrailers:
      if (trailer_text_.size() >= limits_->max_header_bytes) {
        fault_ = {431, "the trailers are larger than this proxy takes"};
        return Result::kBad;
      }
      trailer_text_.push_back(static_cast<char>(byte));
      return byte == '\n' ? FinishTrailers() : Result::kMore;
    case State::kRaw:
    case State::kData:
    case State::kDone:
      break;
  }
  return Result::kMore;
}

BodyReader::Result BodyReader::FinishTrailers() {
  const absl::string_view text(trailer_text_);
  const size_t size = text.size();
  if (size < 2 || text[size - 2] != '\r') return Bad("a trailer line does not end with CR LF");
  if (size == 2) {
    state_ = State::kDone;
    return Result::kDone;
  }
  if (text[size - 3] != '\n') return Result::kMore;  // not yet the empty line
  state_ = State::kDone;
  fault_ = ParseTrailers(text, *limits_, &trailers_);
  if (fault_) return Result::kBad;
  return trailers_.empty() ? Result::kDone : Result::kDoneWithTrailers;
}

}  // namespace countersign::http::h1
