#include "proxy/http/header_map.h"

#include <algorithm>
#include <cstring>

namespace countersign::http {

absl::string_view HeaderMap::Store(absl::string_view text) {
  if (text.empty()) return {};
  if (chunks_.empty() || chunks_.back().size - chunks_.back().used < text.size()) {
    const size_t size = std::max(kChunkBytes, text.size());
    chunks_.push_back({std::make_unique<char[]>(size), size, 0});
  }
  Chunk& chunk = chunks_.back();
  char* const at = chunk.bytes.get() + chunk.used;
  std::memcpy(at, text.data(), text.size());
  chunk.used += text.size();
  return {at, text.size()};
}

void HeaderMap::Add(absl::string_view name, absl::string_view value) {
  const HeaderId id = FindHeaderId(name);
  if (id != HeaderId::kOther) return Add(id, value);
  AddBorrowed(Store(name), Store(value));
}

void HeaderMap::Add(HeaderId id, absl::string_view value) { AddBorrowed(id, Store(value)); }

void HeaderMap::AddBorrowed(HeaderId id, absl::string_view value) {
  fields_.push_back({HeaderName(id), value, id});
  byte_size_ += SizeOf(fields_.back());
}

void HeaderMap::AddBorrowed(absl::string_view name, absl::string_view value) {
  fields_.push_back({name, value, FindHeaderId(name)});
  byte_size_ += SizeOf(fields_.back());
}

void HeaderMap::Set(HeaderId id, absl::string_view value) {
  Remove(id);
  Add(id, value);
}

void HeaderMap::Set(absl::string_view name, absl::string_view value) {
  Remove(name);
  Add(name, value);
}

const Field* HeaderMap::Find(HeaderId id) const {
  for (const Field& field : fields_) {
    if (field.id == id) return &field;
  }
  return nullptr;
}

const Field* HeaderMap::Find(absl::string_view name) const {
  for (const Field& field : fields_) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

size_t HeaderMap::Remove(HeaderId id) {
  return RemoveIf([id](const Field& field) { return field.id == id; });
}

size_t HeaderMap::Remove(absl::string_view name) {
  return RemoveIf([name](const Field& field) { return field.name == name; });
}

void HeaderMap::CopyFrom(const HeaderMap& other) {
  for (const Field& field : other.fields_) {
    if (field.id == HeaderId::kOther) {
      AddBorrowed(Store(field.name), Store(field.value));
    } else {
      Add(field.id, field.value);
    }
  }
}

void HeaderMap::Clear() {
  fields_.clear();
  byte_size_ = 0;
  size_t kept = 0;
  size_t bytes = 0;
  while (kept < chunks_.size() && bytes + chunks_[kept].size <= kKeptBytes) {
    bytes += chunks_[kept].size;
    chunks_[kept].used = 0;
    ++kept;
  }
  // What is kept is filled from the first chunk on, so only one can stay.
  chunks_.resize(std::min<size_t>(kept, 1));
}

}  // namespace countersign::http
