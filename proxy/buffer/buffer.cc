#include "proxy/buffer/buffer.h"

#include <algorithm>
#include <cstring>

namespace countersign::buffer {

void Buffer::Append(const void* bytes, size_t n) {
  BlockPool& pool = BlockPool::ForThisThread();
  const uint8_t* from = static_cast<const uint8_t*>(bytes);
  while (n > 0) {
    Block* block;
    if (tail_ != nullptr && tail_->end == tail_->block->used && tail_->block->room() > 0) {
      // The block's last bytes are ours, so what follows them is too.
      block = tail_->block;
      const size_t part = std::min<size_t>(n, block->room());
      std::memcpy(block->bytes() + block->used, from, part);
      block->used += part;
      tail_->end += part;
      size_ += part;
      from += part;
      n -= part;
      continue;
    }
    block = pool.Current(static_cast<uint32_t>(std::min<size_t>(n, 4096)));
    const size_t part = std::min<size_t>(n, block->room());
    std::memcpy(block->bytes() + block->used, from, part);
    BlockPool::Ref(block);
    Slice* slice = pool.NewSlice(block, block->used, block->used + part);
    block->used += part;
    AppendChain(slice, slice, part);
    from += part;
    n -= part;
  }
}

void Buffer::AppendRef(Block* block, const uint8_t* begin, size_t n) {
  if (n == 0) return;
  const uint32_t at = static_cast<uint32_t>(begin - block->bytes());
  if (tail_ != nullptr && tail_->block == block && tail_->end == at) {
    tail_->end += n;
    size_ += n;
    return;
  }
  BlockPool::Ref(block);
  Slice* slice = BlockPool::ForThisThread().NewSlice(block, at, at + static_cast<uint32_t>(n));
  AppendChain(slice, slice, n);
}

void Buffer::AppendChain(Slice* head, Slice* tail, size_t n) {
  if (head == nullptr) return;
  (tail_ == nullptr ? head_ : tail_->next) = head;
  tail_ = tail;
  size_ += n;
}

void Buffer::Move(Buffer& from) {
  AppendChain(from.head_, from.tail_, from.size_);
  from.head_ = from.tail_ = nullptr;
  from.size_ = 0;
}

void Buffer::Move(Buffer& from, size_t n) {
  if (n >= from.size_) return Move(from);
  while (n > 0) {
    Slice* slice = from.head_;
    if (slice->size() <= n) {
      from.head_ = slice->next;
      from.size_ -= slice->size();
      n -= slice->size();
      slice->next = nullptr;
      AppendChain(slice, slice, slice->size());
    } else {
      AppendRef(slice->block, slice->data(), n);
      slice->begin += n;
      from.size_ -= n;
      n = 0;
    }
  }
}

void Buffer::Gather(Buffer& from, size_t n) {
  n = std::min(n, from.size_);
  if (n == 0) return;
  const bool together = empty() && from.head_->size() >= n;
  if (n > kCopied || together) return Move(from, n);
  size_t left = n;
  for (Slice* slice = from.head_; left > 0; slice = slice->next) {
    const size_t part = std::min<size_t>(left, slice->size());
    Append(slice->data(), part);
    left -= part;
  }
  from.Drain(n);
}

void Buffer::Drain(size_t n) {
  BlockPool& pool = BlockPool::ForThisThread();
  n = std::min(n, size_);
  size_ -= n;
  while (n > 0) {
    Slice* slice = head_;
    if (slice->size() > n) {
      slice->begin += n;
      return;
    }
    n -= slice->size();
    head_ = slice->next;
    pool.FreeSlice(slice);
  }
  if (head_ == nullptr) tail_ = nullptr;
}

void Buffer::TrimTail(size_t n) {
  if (n >= size_) return Clear();
  if (n == 0) return;
  size_ -= n;
  size_t keep = size_;
  Slice* slice = head_;
  while (slice->size() < keep) {
    keep -= slice->size();
    slice = slice->next;
  }
  slice->end = slice->begin + static_cast<uint32_t>(keep);
  BlockPool& pool = BlockPool::ForThisThread();
  Slice* rest = slice->next;
  slice->next = nullptr;
  tail_ = slice;
  while (rest != nullptr) {
    Slice* next = rest->next;
    pool.FreeSlice(rest);
    rest = next;
  }
}

void Buffer::Clear() {
  BlockPool& pool = BlockPool::ForThisThread();
  while (head_ != nullptr) {
    Slice* next = head_->next;
    pool.FreeSlice(head_);
    head_ = next;
  }
  tail_ = nullptr;
  size_ = 0;
}

int Buffer::Peek(iovec* iov, int max) const {
  int count = 0;
  for (Slice* slice = head_; slice != nullptr && count < max; slice = slice->next) {
    iov[count++] = {slice->data(), slice->size()};
  }
  return count;
}

size_t Buffer::CopyOut(void* out, size_t n) const {
  uint8_t* to = static_cast<uint8_t*>(out);
  size_t done = 0;
  for (Slice* slice = head_; slice != nullptr && done < n; slice = slice->next) {
    const size_t part = std::min<size_t>(n - done, slice->size());
    std::memcpy(to + done, slice->data(), part);
    done += part;
  }
  return done;
}

std::string Buffer::ToString() const {
  std::string text(size_, '\0');
  CopyOut(text.data(), text.size());
  return text;
}

absl::string_view Buffer::View(std::string* copy) const {
  if (head_ != nullptr && head_ == tail_) {
    return {reinterpret_cast<const char*>(head_->data()), size_};
  }
  *copy = ToString();
  return *copy;
}

void Buffer::Compact() {
  BlockPool& pool = BlockPool::ForThisThread();
  for (Slice* slice = head_; slice != nullptr; slice = slice->next) {
    if (slice->size() > slice->block->capacity / 8) continue;
    Block* own = pool.New(slice->size());
    std::memcpy(own->bytes(), slice->data(), slice->size());
    own->used = slice->size();
    pool.Unref(slice->block);
    slice->block = own;
    slice->begin = 0;
    slice->end = own->used;
  }
}

}  // namespace countersign::buffer
