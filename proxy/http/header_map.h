// The header fields of one message, in order.
#ifndef COUNTERSIGN_PROXY_HTTP_HEADER_MAP_H_
#define COUNTERSIGN_PROXY_HTTP_HEADER_MAP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proxy/http/header_id.h"

namespace countersign::http {

struct Field {
  absl::string_view name;  // lower case
  absl::string_view value;
  HeaderId id = HeaderId::kOther;
};

// Names and values lie in the map's own memory (or, where a function says `Borrowed`, in memory
// that outlives it). Views stay valid until Clear or destruction, also when their field is removed.
// Belongs to one thread. A map that is cleared keeps its memory, up to kKeptBytes, so that a stream
// that is used again allocates nothing.
class HeaderMap {
 public:
  HeaderMap() = default;
  HeaderMap(const HeaderMap&) = delete;
  HeaderMap& operator=(const HeaderMap&) = delete;
  HeaderMap(HeaderMap&&) noexcept = default;
  HeaderMap& operator=(HeaderMap&&) noexcept = default;

  absl::Span<const Field> fields() const { return fields_; }
  size_t size() const { return fields_.size(); }
  bool empty() const { return fields_.empty(); }
  // RFC 9113, section 6.5.2: names, values and 32 bytes for each field.
  size_t byte_size() const { return byte_size_; }

  // Appends; copies `value`, and `name` (lower case) unless it is in the table.
  void Add(absl::string_view name, absl::string_view value);
  void Add(HeaderId id, absl::string_view value);
  // Appends without copying.
  void AddBorrowed(HeaderId id, absl::string_view value);
  void AddBorrowed(absl::string_view name, absl::string_view value);
  // For who has looked the name up already.
  void AddBorrowed(HeaderId id, absl::string_view name, absl::string_view value);
  // Replaces all fields of that name by one.
  void Set(HeaderId id, absl::string_view value);
  void Set(absl::string_view name, absl::string_view value);

  // The first of that name, or null.
  const Field* Find(HeaderId id) const;
  const Field* Find(absl::string_view name) const;
  // Its value, or empty.
  absl::string_view Get(HeaderId id) const {
    const Field* field = Find(id);
    return field == nullptr ? absl::string_view() : field->value;
  }
  bool Has(HeaderId id) const { return Find(id) != nullptr; }

  // How many were removed.
  size_t Remove(HeaderId id);
  size_t Remove(absl::string_view name);
  template <typename Predicate>
  size_t RemoveIf(Predicate predicate) {
    size_t kept = 0;
    for (Field& field : fields_) {
      if (predicate(static_cast<const Field&>(field))) {
        byte_size_ -= SizeOf(field);
      } else {
        fields_[kept++] = field;
      }
    }
    const size_t removed = fields_.size() - kept;
    fields_.resize(kept);
    return removed;
  }

  // Appends copies of all of `other`'s fields.
  void CopyFrom(const HeaderMap& other);
  // A copy of `text` in this map's memory, for what belongs to the message and is no field.
  absl::string_view Store(absl::string_view text);
  // `n` bytes of this map's memory, for text that is put together in place.
  char* Allocate(size_t n);
  void Clear();

 private:
  static constexpr size_t kChunkBytes = 1024;
  static constexpr size_t kKeptBytes = 4096;
  static constexpr size_t kKeptFields = 64;
  struct Chunk {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
    size_t used = 0;
  };
  void Append(const Field& field) {
    fields_.push_back(field);
    byte_size_ += SizeOf(field);
  }
  static size_t SizeOf(const Field& field) { return field.name.size() + field.value.size() + 32; }

  std::vector<Field> fields_;
  std::vector<Chunk> chunks_;
  size_t byte_size_ = 0;
};

}  // namespace countersign::http

#endif  // COUNTERSIGN_PROXY_HTTP_HEADER_MAP_H_
