#include "proxy/buffer/block.h"

#include <algorithm>
#include <cstdlib>

namespace countersign::buffer {
namespace {

// Below this much room a new block is taken for reading: a system call is dearer than a block.
constexpr uint32_t kMinReadRoom = 16 * 1024;

}  // namespace

BlockPool& BlockPool::ForThisThread() {
  thread_local BlockPool pool;
  return pool;
}

BlockPool::~BlockPool() {
  Trim();
  while (free_slices_ != nullptr) {
    Slice* next = free_slices_->next;
    delete free_slices_;
    free_slices_ = next;
  }
}

Block* BlockPool::New(uint32_t capacity) {
  Block* block;
  const bool pooled = capacity == kBlockBytes;
  if (pooled && free_ != nullptr) {
    block = free_;
    free_ = block->next;
    --kept_;
  } else {
    block = static_cast<Block*>(std::malloc(sizeof(Block) + capacity));
    if (block == nullptr) std::abort();
    block->capacity = capacity;
    block->pooled = pooled;
  }
  block->refs = 1;
  block->used = 0;
  bytes_in_use_ += block->capacity;
  return block;
}

void BlockPool::Free(Block* block) {
  bytes_in_use_ -= block->capacity;
  if (block->pooled && kept_ < kMaxKept) {
    block->next = free_;
    free_ = block;
    ++kept_;
    return;
  }
  std::free(block);
}

Slice* BlockPool::NewSlice(Block* block, uint32_t begin, uint32_t end) {
  Slice* slice = free_slices_;
  if (slice != nullptr) {
    free_slices_ = slice->next;
  } else {
    slice = new Slice;
  }
  *slice = {block, begin, end, nullptr};
  return slice;
}

void BlockPool::FreeSlice(Slice* slice) {
  Unref(slice->block);
  slice->next = free_slices_;
  free_slices_ = slice;
}

Block* BlockPool::Current(uint32_t room) {
  if (current_ != nullptr) {
    if (current_->refs == 1) current_->used = 0;  // nobody refers to what it held
    if (current_->room() >= room) return current_;
    Unref(current_);
  }
  current_ = New();
  return current_;
}

void BlockPool::Reserve(int blocks, Room* room) {
  room->count = std::min(blocks, kMaxReadBlocks);
  room->size = 0;
  for (int i = 0; i < room->count; ++i) {
    Block* block = i == 0 ? Current(kMinReadRoom) : New();
    if (i == 0) Ref(block);
    room->block[i] = block;
    room->iov[i] = {block->bytes() + block->used, block->room()};
    room->size += block->room();
  }
}

void BlockPool::Commit(Room* room, size_t n, Slice** head, Slice** tail) {
  *head = *tail = nullptr;
  for (int i = 0; i < room->count; ++i) {
    Block* block = room->block[i];
    const uint32_t filled = static_cast<uint32_t>(std::min<size_t>(n, room->iov[i].iov_len));
    n -= filled;
    if (filled == 0) {
      Unref(block);
      continue;
    }
    Slice* slice = NewSlice(block, block->used, block->used + filled);
    block->used += filled;
    (*tail == nullptr ? *head : (*tail)->next) = slice;
    *tail = slice;
    // The last block with room goes on as the current one.
    if (i > 0 && block->room() >= kMinReadRoom) {
      Ref(block);
      Unref(current_);
      current_ = block;
    }
  }
  room->count = 0;
}

size_t BlockPool::Trim() {
  size_t freed = static_cast<size_t>(kept_) * kBlockBytes;
  while (free_ != nullptr) {
    Block* next = free_->next;
    std::free(free_);
    free_ = next;
  }
  kept_ = 0;
  if (current_ != nullptr && current_->refs == 1) {
    bytes_in_use_ -= current_->capacity;
    freed += kBlockBytes;
    std::free(current_);
    current_ = nullptr;
  }
  return freed;
}

}  // namespace countersign::buffer
