// Memory for bytes in flight: reference-counted blocks, pooled by thread.
#ifndef COUNTERSIGN_PROXY_BUFFER_BLOCK_H_
#define COUNTERSIGN_PROXY_BUFFER_BLOCK_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

namespace countersign::buffer {

// Header of a run of bytes. Belongs to one thread: the count is a plain integer. Bytes before
// `used` belong to the slices that refer to them, bytes after it to whoever extends the block next.
struct Block {
  uint32_t refs;
  uint32_t capacity;
  uint32_t used;
  bool pooled;
  Block* next;

  uint8_t* bytes() { return reinterpret_cast<uint8_t*>(this + 1); }
  uint32_t room() const { return capacity - used; }
};

// Four full TLS records (5 + 2^14 + 1 + 16 bytes each) fit a block, and a block with its header
// fits 17 pages less malloc's own header.
inline constexpr uint32_t kBlockBytes = 17 * 4096 - 16 - sizeof(Block);

// A run of bytes in one block, and an entry of a Buffer.
struct Slice {
  Block* block;
  uint32_t begin;
  uint32_t end;
  Slice* next;

  uint8_t* data() { return block->bytes() + begin; }
  uint32_t size() const { return end - begin; }
};

// The calling thread's blocks and slices. Freed blocks are kept up to a bound and handed out last
// in, first out, while they are still in the processor's cache.
class BlockPool {
 public:
  static BlockPool& ForThisThread();

  BlockPool() = default;
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool();

  // One reference, the caller's. `capacity` is kBlockBytes, or less for a block of its own size.
  Block* New(uint32_t capacity = kBlockBytes);
  static void Ref(Block* block) { ++block->refs; }
  void Unref(Block* block) {
    if (--block->refs == 0) Free(block);
  }
  Slice* NewSlice(Block* block, uint32_t begin, uint32_t end);  // takes the caller's reference
  void FreeSlice(Slice* slice);                                 // gives its reference up

  // The block that small appends and reads fill one after the other; has at least `room` bytes left
  // (at most kBlockBytes). The pool keeps its reference.
  Block* Current(uint32_t room);

  // Room for one read: what is left of the current block, and `blocks` - 1 more.
  static constexpr int kMaxReadBlocks = 4;
  struct Room {
    iovec iov[kMaxReadBlocks];
    Block* block[kMaxReadBlocks];
    int count = 0;
    size_t size = 0;
  };
  void Reserve(int blocks, Room* room);
  // `n` bytes were filled; returns them as a chain of slices, and takes the rest back.
  void Commit(Room* room, size_t n, Slice** head, Slice** tail);

  // Bytes in blocks that are in use by this thread, for the limit on memory.
  size_t bytes_in_use() const { return bytes_in_use_; }
  // Gives kept blocks back to malloc; returns how many bytes that were.
  size_t Trim();

 private:
  static constexpr int kMaxKept = 32;

  void Free(Block* block);

  Block* free_ = nullptr;
  int kept_ = 0;
  Slice* free_slices_ = nullptr;
  Block* current_ = nullptr;
  size_t bytes_in_use_ = 0;
};

}  // namespace countersign::buffer

#endif  // COUNTERSIGN_PROXY_BUFFER_BLOCK_H_
