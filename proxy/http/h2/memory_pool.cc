#include "proxy/http/h2/memory_pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace countersign::http::h2 {

MemoryPool& MemoryPool::ForThisThread() {
  static thread_local MemoryPool pool;
  return pool;
}

MemoryPool::MemoryPool()
    : memory_{
          this,
          [](size_t size, void* pool) { return static_cast<MemoryPool*>(pool)->Allocate(size); },
          [](void* memory, void* pool) { static_cast<MemoryPool*>(pool)->Free(memory); },
          [](size_t count, size_t size, void* pool) -> void* {
            if (size != 0 && count > SIZE_MAX / size) return nullptr;
            void* const memory = static_cast<MemoryPool*>(pool)->Allocate(count * size);
            if (memory != nullptr) std::memset(memory, 0, count * size);
            return memory;
          },
          [](void* memory, size_t size, void* pool) {
            return static_cast<MemoryPool*>(pool)->Reallocate(memory, size);
          }} {}

MemoryPool::~MemoryPool() { Trim(); }

int MemoryPool::ClassOf(size_t size) {
  if (size > kMaxPooled) return kClasses;
  return std::max(0, static_cast<int>(std::bit_width(size - 1)) - kSmallest);
}

void* MemoryPool::Allocate(size_t size) {
  size = std::max<size_t>(size, 1);
  const int size_class = ClassOf(size);
  if (size_class < kClasses) {
    if (Header* header = free_[size_class]; header != nullptr) {
      free_[size_class] = header->next;
      kept_ -= header->size;
      return header + 1;
    }
    size = size_t{1} << (size_class + kSmallest);
  }
  ++mallocs_;
  if (size > UINT32_MAX) return nullptr;
  auto* header = static_cast<Header*>(std::malloc(sizeof(Header) + size));
  if (header == nullptr) return nullptr;
  header->size_class = static_cast<uint32_t>(size_class);
  header->size = static_cast<uint32_t>(size);
  return header + 1;
}

void MemoryPool::Free(void* memory) {
  if (memory == nullptr) return;
  Header* header = static_cast<Header*>(memory) - 1;
  if (header->size_class >= kClasses || kept_ + header->size > kMaxKept) {
    std::free(header);
    return;
  }
  kept_ += header->size;
  header->next = free_[header->size_class];
  free_[header->size_class] = header;
}

void* MemoryPool::Reallocate(void* memory, size_t size) {
  if (memory == nullptr) return Allocate(size);
  const Header* header = static_cast<Header*>(memory) - 1;
  if (size <= header->size) return memory;
  void* const larger = Allocate(size);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, memory, header->size);
  Free(memory);
  return larger;
}

size_t MemoryPool::Trim() {
  const size_t kept = kept_;
  for (Header*& list : free_) {
    while (list != nullptr) std::free(std::exchange(list, list->next));
  }
  kept_ = 0;
  return kept;
}

}  // namespace countersign::http::h2
