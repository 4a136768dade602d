#include "proxy/http/h1/head_collector.h"

#include <algorithm>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace countersign::http::h1 {

namespace {

// What the LF at `i` means: 0: a line's end; otherwise FindHeadEnd's answer.
inline size_t Judge(absl::string_view text, size_t i) {
  if (i == 0 || text[i - 1] != '\r') return absl::string_view::npos;
  if (i == 1 || text[i - 2] == '\n') return i + 1;
  return 0;
}

}  // namespace

size_t FindHeadEnd(absl::string_view text, size_t from) {
  size_t i = from;
#ifdef __SSE2__
  const __m128i line_feed = _mm_set1_epi8('\n');
  for (; i + 16 <= text.size(); i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + i));
    unsigned found = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, line_feed));
    for (; found != 0; found &= found - 1) {
      if (const size_t end = Judge(text, i + __builtin_ctz(found)); end != 0) return end;
    }
  }
#endif
  for (; i < text.size(); ++i) {
    if (text[i] != '\n') continue;
    if (const size_t end = Judge(text, i); end != 0) return end;
  }
  return 0;
}

HeadCollector::Result HeadCollector::Collect(buffer::Buffer& in, size_t limit) {
  if (pieces_.empty()) {
    while (!in.empty()) {
      buffer::Slice* slice = in.front();
      const absl::string_view text(reinterpret_cast<const char*>(slice->data()), slice->size());
      if (text.size() >= 2 && text[0] == '\r' && text[1] == '\n') {
        if (++empty_lines_ > kMaxEmptyLines) return Result::kMalformed;
        in.Drain(2);
        continue;
      }
      const size_t end = FindHeadEnd(text.substr(0, std::min(text.size(), limit)), 0);
      if (end == absl::string_view::npos) return Result::kMalformed;
      if (end != 0) {
        head_ = text.substr(0, end);
        in_first_slice_ = end;
        return Result::kComplete;
      }
      if (text.size() >= limit) return TooLarge(text.substr(0, limit));
      break;
    }
  }
  while (!in.empty()) {
    buffer::Slice* slice = in.front();
    const size_t before = pieces_.size();
    const size_t part = std::min<size_t>(slice->size(), limit - std::min(limit, before));
    if (part == 0) return TooLarge(pieces_);
    pieces_.append(reinterpret_cast<const char*>(slice->data()), part);
    if (pieces_.size() >= 2 && pieces_[0] == '\r' && pieces_[1] == '\n') {
      if (++empty_lines_ > kMaxEmptyLines) return Result::kMalformed;
      in.Drain(2 - before);
      pieces_.clear();
      scanned_ = 0;
      return Collect(in, limit);
    }
    const size_t end = FindHeadEnd(pieces_, scanned_);
    if (end == absl::string_view::npos) return Result::kMalformed;
    if (end != 0) {
      in.Drain(end - before);
      pieces_.resize(end);
      head_ = pieces_;
      in_first_slice_ = 0;
      return Result::kComplete;
    }
    scanned_ = pieces_.size();
    in.Drain(part);
  }
  return Result::kIncomplete;
}

void HeadCollector::Consume(buffer::Buffer& in) {
  in.Drain(in_first_slice_);
  in_first_slice_ = 0;
  head_ = {};
  if (pieces_.capacity() > kKeptBytes) {
    pieces_ = std::string();
  } else {
    pieces_.clear();
  }
  scanned_ = 0;
  empty_lines_ = 0;
}

}  // namespace countersign::http::h1
