// Bytes on their way from one socket to another: a chain of slices of shared blocks. Moving bytes
// between buffers copies nothing.
#ifndef COUNTERSIGN_PROXY_BUFFER_BUFFER_H_
#define COUNTERSIGN_PROXY_BUFFER_BUFFER_H_

#include <sys/uio.h>

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/buffer/block.h"

namespace countersign::buffer {

// Belongs to one thread, as its blocks do. Empty, it owns no memory.
class Buffer {
 public:
  // Gather's bound.
  static constexpr size_t kCopied = 1024;

  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { Clear(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // First slice of the chain, for walking over it; null when empty.
  Slice* front() const { return head_; }
  Slice* back() const { return tail_; }

  // Copies.
  void Append(const void* bytes, size_t n);
  void Append(absl::string_view text) { Append(text.data(), text.size()); }
  // Refers to bytes inside `block`; takes a reference of its own.
  void AppendRef(Block* block, const uint8_t* begin, size_t n);
  // Everything, or the first `n` bytes, of `from`.
  void Move(Buffer& from);
  void Move(Buffer& from, size_t n);
  // As Move, but puts what is small into one piece: a piece less costs the kernel and the record
  // layer less than the copy.
  void Gather(Buffer& from, size_t n);
  // What BlockPool::Commit returned.
  void AppendChain(Slice* head, Slice* tail, size_t n);

  void Drain(size_t n);
  void TrimTail(size_t n);
  void Clear();

  // Fills at most `max` entries from the front; returns how many.
  int Peek(iovec* iov, int max) const;
  // Copies the first min(n, size()) bytes out; returns how many.
  size_t CopyOut(void* out, size_t n) const;
  std::string ToString() const;
  // All bytes, for a look at a few: in place when they lie in one piece, else copied to `*copy`.
  absl::string_view View(std::string* copy) const;

  // Copies small slices out of large blocks, for bytes that will stay for a while: otherwise 100
  // waiting bytes could hold 64 KiB.
  void Compact();

 private:
  Slice* head_ = nullptr;
  Slice* tail_ = nullptr;
  size_t size_ = 0;
};

}  // namespace countersign::buffer

#endif  // COUNTERSIGN_PROXY_BUFFER_BUFFER_H_
