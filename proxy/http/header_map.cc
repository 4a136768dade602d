#include "proxy/http/header_map.h"

#include <algorithm>
#include <cstring>

namespace countersign::http {

char* HeaderMap::Allocate(size_t n) {
  if (chunks_.empty() || chunks_.back().size - chunks_.back().used < n) {
    const size_t size = std::max(kChunkBytes, n);
    chunks_.push_back({std::unique_ptr<char[]>(new char[size]), size, 0});
  }
  Chunk& chunk = chunks_.back();
  char* const at = chunk.bytes.get() + chunk.used;
  chunk.used += n;
  return at;
}

absl::string_view HeaderMap::Store(absl::string_view text) {
  if (text.empty()) return {};
  char* const at = Allocate(text.size());
  std::memcpy(at, text.data(), text.size());
  return {at, text.size()};
}

void HeaderMap::Add(absl::string_view name, absl::string_view value) {
  const HeaderId id = FindHeaderId(name);
  if (id != HeaderId::kOther) return Add(id, value);
  char* const at = Allocate(name.size() + value.size());
  std::memcpy(at, name.data(), name.size());
  if (!value.empty()) std::memcpy(at + name.size(), value.data(), value.size());
  Append({{at, name.size()}, {at + name.size(), value.size()}, id});
}

void HeaderMap::Add(HeaderId id, absl::string_view value) { AddBorrowed(id, Store(value)); }

void HeaderMap::AddBorrowed(HeaderId id, absl::string_view value) {
  Append({HeaderName(id), value, id});
}

void HeaderMap::AddBorrowed(absl::string_view name, absl::string_view value) {
  Append({name, value, FindHeaderId(name)});
}

void HeaderMap::AddBorrowed(HeaderId id, absl::string_view name, absl::string_view value) {
  Append({name, value, id});
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
  const HeaderId id = FindHeaderId(name);
  if (id != HeaderId::kOther) return Find(id);
  for (const Field& field : fields_) {
    if (field.id == HeaderId::kOther && field.name == name) return &field;
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
      Append({Store(field.name), Store(field.value), HeaderId::kOther});
    } else {
      Add(field.id, field.value);
    }
  }
}

void HeaderMap::Clear() {
  fields_.clear();
  byte_size_ = 0;
  // The largest that may stay, stays: a map whose messages need more than the first chunk soon has
  // one that holds them whole.
  size_t best = chunks_.size();
  for (size_t i = 0; i < chunks_.size(); ++i) {
    if (chunks_[i].size > kKeptBytes) continue;
    if (best == chunks_.size() || chunks_[i].size > chunks_[best].size) best = i;
  }
  const bool grew = chunks_.size() > 1;
  if (best == chunks_.size()) {
    chunks_.clear();
  } else {
    if (best != 0) std::swap(chunks_[0], chunks_[best]);
    chunks_.resize(1);
    chunks_[0].used = 0;
    if (grew && chunks_[0].size < kKeptBytes) {
      chunks_[0].size = std::min(kKeptBytes, chunks_[0].size * 2);
      chunks_[0].bytes.reset(new char[chunks_[0].size]);
    }
  }
  if (fields_.capacity() > kKeptFields) {
    fields_.shrink_to_fit();
  }
}

}  // namespace countersign::http
