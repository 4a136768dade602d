// A request's body between the downstream and the endpoint.
#ifndef COUNTERSIGN_PROXY_ROUTER_REQUEST_BODY_H_
#define COUNTERSIGN_PROXY_ROUTER_REQUEST_BODY_H_

#include <cstddef>
#include <string>

#include "proxy/buffer/buffer.h"
#include "proxy/http/header_map.h"

namespace countersign::router {

// Holds what cannot be sent yet, and keeps a copy of what was sent as long as it may have to be
// sent again. The copy is of bytes, not of references: references would pin the large blocks that
// the bytes came in for as long as the request lasts. On its worker's thread; memory is used again.
class RequestBody {
 public:
  static constexpr size_t kMaxKept = 64 * 1024;

  // `keep`: a copy is wanted. A body that is known to be larger than kMaxKept is never kept.
  void Begin(bool keep, size_t content_length);
  void Clear();

  // Not to be sent now. Takes all of `data`.
  void Hold(buffer::Buffer& data);
  // About to be sent, while nothing is held: is copied, if a copy is wanted and there is room.
  void Keep(const buffer::Buffer& data);
  // What is held, to be sent now: moved to `out`, and kept as Keep does.
  void Take(buffer::Buffer& out);
  // The copy is not wanted any more.
  void StopKeeping();
  // What was sent is held again. Only when whole().
  void Rewind();
  // All of it so far. Only when whole().
  void CopyTo(buffer::Buffer& out) const;

  void SetTrailers(const http::HeaderMap& trailers);
  // Null: none.
  const http::HeaderMap* trailers() const { return has_trailers_ ? &trailers_ : nullptr; }

  size_t held() const { return held_.size(); }
  size_t size() const { return held_.size() + kept_.size(); }
  // Nothing has been sent of which there is no copy: Rewind is possible.
  bool whole() const { return whole_; }

 private:
  // Chunks below it are copied together: a flood of tiny ones would cost a slice each.
  static constexpr size_t kSmallChunk = 1024;
  static constexpr size_t kReused = 16 * 1024;

  void HoldCopy(const uint8_t* bytes, size_t n);

  buffer::Buffer held_;
  std::string kept_;
  bool keep_ = false;
  bool whole_ = true;
  bool has_trailers_ = false;
  http::HeaderMap trailers_;
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_REQUEST_BODY_H_
