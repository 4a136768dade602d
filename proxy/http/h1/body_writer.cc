#include "proxy/http/h1/body_writer.h"

#include <charconv>

namespace countersign::http::h1 {

bool BodyWriter::Write(buffer::Buffer& data, bool end, buffer::Buffer* out) {
  switch (kind_) {
    case BodyKind::kNone:
      // To HEAD, or with a status that has none.
      data.Clear();
      return true;
    case BodyKind::kUntilClose:
      out->Move(data);
      return true;
    case BodyKind::kLength:
      if (data.size() > left_) {
        data.Clear();
        return false;
      }
      left_ -= data.size();
      out->Move(data);
      return !end || left_ == 0;
    case BodyKind::kChunked:
      break;
  }
  if (!data.empty()) {
    char line[18];
    char* at = std::to_chars(line, line + 16, data.size(), 16).ptr;
    *at++ = '\r';
    *at++ = '\n';
    out->Append(line, static_cast<size_t>(at - line));
    out->Move(data);
    out->Append(end ? "\r\n0\r\n\r\n" : "\r\n");
  } else if (end) {
    out->Append("0\r\n\r\n");
  }
  return true;
}

bool BodyWriter::WriteTrailers(const HeaderMap& trailers, HeadEncoder& encoder,
                               buffer::Buffer* out) {
  if (kind_ != BodyKind::kChunked) {
    buffer::Buffer none;
    return Write(none, true, out);
  }
  encoder.EncodeTrailers(trailers, out);
  return true;
}

}  // namespace countersign::http::h1
