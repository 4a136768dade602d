// The application behind the pair. The first byte of a connection decides what it is:
//   'E'  every byte is echoed;
//   'U'  bulk upload: blocks of a header (1 byte and a 7-byte length, big-endian) and that many
//        bytes, each block acknowledged by one byte;
//   'D'  bulk download: the header alone comes in, that many bytes go out;
//   else HTTP/1.1: every request is answered by 200 with 125 bytes of JSON, /1k and /64k with
//   bodies of those sizes.
#ifndef COUNTERSIGN_TESTS_BENCH_LOAD_BACKEND_H_
#define COUNTERSIGN_TESTS_BENCH_LOAD_BACKEND_H_

#include <netinet/in.h>

#include <cstdint>
#include <string>

#include "tests/bench/load/poller.h"

namespace countersign::bench {

// One thread; lives as long as the program.
class Backend {
 public:
  explicit Backend(const sockaddr_in& address);
  [[noreturn]] void Run();

 private:
  struct Connection;

  void AcceptAll();
  void OnEvents(Connection* connection, uint32_t events);
  // The following return false when they have closed and freed the connection.
  bool OnBytes(Connection* connection, char* data, size_t size, bool* more);
  bool OnBulk(Connection* connection, const char* data, size_t size);
  bool OnHttp(Connection* connection, size_t size);
  bool AnswerHttp(Connection* connection);
  bool FlushResponse(Connection* connection);
  const std::string& ResponseTo(const char* request) const;
  bool SendDownload(Connection* connection);
  bool FlushEcho(Connection* connection);
  bool Close(Connection* connection);

  Poller poller_;
  Watched listener_;
  std::string small_response_;
  std::string kib_response_;
  std::string large_response_;
  std::string block_;  // the bulk bytes, in and out
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_TESTS_BENCH_LOAD_BACKEND_H_
