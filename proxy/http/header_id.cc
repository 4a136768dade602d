#include "proxy/http/header_id.h"

#include <array>
#include <cstring>

namespace countersign::http {

namespace {

struct Row {
  const char* name;
  uint8_t size;
  HeaderId id;
};

constexpr Row kRows[] = {
#define COUNTERSIGN_ROW(id, text) {text, sizeof(text) - 1, HeaderId::id},
    COUNTERSIGN_HTTP_HEADERS(COUNTERSIGN_ROW)
#undef COUNTERSIGN_ROW
};
constexpr size_t kCount = sizeof kRows / sizeof kRows[0];

constexpr size_t LongestName() {
  size_t longest = 0;
  for (const Row& row : kRows) longest = row.size > longest ? row.size : longest;
  return longest;
}
constexpr size_t kLongest = LongestName();

// The rows by length of their names: those of length n are rows[begin[n]] to rows[begin[n + 1]].
struct ByLength {
  std::array<Row, kCount> rows;
  std::array<uint8_t, kLongest + 2> begin;
};

constexpr ByLength Sort() {
  ByLength table{};
  size_t at = 0;
  for (size_t length = 0; length <= kLongest; ++length) {
    table.begin[length] = static_cast<uint8_t>(at);
    for (const Row& row : kRows) {
      if (row.size == length) table.rows[at++] = row;
    }
  }
  table.begin[kLongest + 1] = static_cast<uint8_t>(at);
  return table;
}
constexpr ByLength kTable = Sort();

}  // namespace

HeaderId FindHeaderId(absl::string_view name) {
  const size_t size = name.size();
  if (size > kLongest) return HeaderId::kOther;
  const size_t end = kTable.begin[size + 1];
  for (size_t i = kTable.begin[size]; i < end; ++i) {
    const Row& row = kTable.rows[i];
    // Names of one length differ in their last byte more often than in the first.
    if (row.name[size - 1] == name[size - 1] && std::memcmp(row.name, name.data(), size) == 0) {
      return row.id;
    }
  }
  return HeaderId::kOther;
}

absl::string_view HeaderName(HeaderId id) {
  if (id == HeaderId::kOther) return "";
  const Row& row = kRows[static_cast<size_t>(id) - 1];
  return {row.name, row.size};
}

}  // namespace countersign::http
