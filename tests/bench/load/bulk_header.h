// The header of a block of bulk transfer: a byte for the direction, seven for the length.
#ifndef COUNTERSIGN_TESTS_BENCH_LOAD_BULK_HEADER_H_
#define COUNTERSIGN_TESTS_BENCH_LOAD_BULK_HEADER_H_

#include <array>
#include <cstdint>

namespace countersign::bench {

using BulkHeader = std::array<char, 8>;

inline BulkHeader MakeBulkHeader(char direction, uint64_t length) {
  BulkHeader header;
  header[0] = direction;
  for (size_t i = 7; i >= 1; --i, length >>= 8) header[i] = static_cast<char>(length & 0xff);
  return header;
}

inline uint64_t BulkLength(const BulkHeader& header) {
  uint64_t length = 0;
  for (size_t i = 1; i < header.size(); ++i) {
    length = length << 8 | static_cast<unsigned char>(header[i]);
  }
  return length;
}

}  // namespace countersign::bench

#endif  // COUNTERSIGN_TESTS_BENCH_LOAD_BULK_HEADER_H_
