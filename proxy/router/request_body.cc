#include "proxy/router/request_body.h"

#include <algorithm>
#include <cstring>

namespace countersign::router {

void RequestBody::Begin(bool keep, size_t content_length) {
  keep_ = keep && content_length <= kMaxKept;
}

void RequestBody::Clear() {
  held_.Clear();
  if (kept_.capacity() > kReused) {
    std::string().swap(kept_);
  } else {
    kept_.clear();
  }
  trailers_.Clear();
  keep_ = has_trailers_ = false;
  whole_ = true;
}

void RequestBody::HoldCopy(const uint8_t* bytes, size_t n) {
  const buffer::Slice* tail = held_.back();
  if (tail != nullptr && tail->block->refs == 1 && !tail->block->pooled &&
      tail->end == tail->block->used && tail->block->room() >= n) {
    return held_.Append(bytes, n);  // in place
  }
  // A block of its own, so that a few waiting bytes do not hold a block of the reads' size.
  buffer::BlockPool& pool = buffer::BlockPool::ForThisThread();
  const size_t capacity = std::clamp<size_t>(2 * held_.size(), kSmallChunk, kReused);
  buffer::Block* const block = pool.New(static_cast<uint32_t>(std::max(capacity, n)));
  std::memcpy(block->bytes(), bytes, n);
  block->used = static_cast<uint32_t>(n);
  held_.AppendRef(block, block->bytes(), n);
  pool.Unref(block);
}

void RequestBody::Hold(buffer::Buffer& data) {
  for (buffer::Slice* slice = data.front(); slice != nullptr; slice = slice->next) {
    if (slice->size() >= kSmallChunk) {
      held_.AppendRef(slice->block, slice->data(), slice->size());
    } else {
      HoldCopy(slice->data(), slice->size());
    }
  }
  data.Clear();
}

void RequestBody::Keep(const buffer::Buffer& data) {
  if (data.empty()) return;
  if (keep_ && kept_.size() + data.size() <= kMaxKept) {
    const size_t at = kept_.size();
    kept_.resize(at + data.size());
    data.CopyOut(kept_.data() + at, data.size());
    return;
  }
  whole_ = false;
  StopKeeping();
}

void RequestBody::Take(buffer::Buffer& out) {
  Keep(held_);
  out.Move(held_);
}

void RequestBody::StopKeeping() {
  keep_ = false;
  if (!kept_.empty()) whole_ = false;
  kept_.clear();
}

void RequestBody::Rewind() {
  if (kept_.empty()) return;
  buffer::Buffer all;
  all.Append(kept_);
  all.Move(held_);
  held_.Move(all);
  kept_.clear();
}

void RequestBody::CopyTo(buffer::Buffer& out) const {
  out.Append(kept_);
  for (buffer::Slice* slice = held_.front(); slice != nullptr; slice = slice->next) {
    out.AppendRef(slice->block, slice->data(), slice->size());
  }
}

void RequestBody::SetTrailers(const http::HeaderMap& trailers) {
  trailers_.Clear();
  trailers_.CopyFrom(trailers);
  has_trailers_ = true;
}

}  // namespace countersign::router
