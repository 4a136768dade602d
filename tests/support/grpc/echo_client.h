// The caller's side of Echo: one method a claim about what lies between it and the server.
#ifndef COUNTERSIGN_TESTS_SUPPORT_GRPC_ECHO_CLIENT_H_
#define COUNTERSIGN_TESTS_SUPPORT_GRPC_ECHO_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>

namespace countersign::test {

// One channel, thus one connection. Blocking calls, of one thread.
class EchoClient {
 public:
  explicit EchoClient(const std::string& address);
  ~EchoClient();

  // Runs the scenario of that name: empty if it went as it should, else what was seen. `unary`,
  // `collect`, `expand`, `converse`, `deadline`, `status`, `trailers`, `large`, `cancel`.
  std::string Run(const std::string& scenario);

  // Unary calls, one after the other; prints how many each server answered and how many failed:
  // `one=50 two=50 failed=0`.
  std::string Spread(int calls);

  // A call that ends with DEADLINE_EXCEEDED or any other status: prints `code message`.
  std::string Unary(uint32_t status_code, uint32_t delay_ms, uint32_t deadline_ms);

 private:
  std::string RunUnary();
  std::string RunCollect();
  std::string RunExpand();
  std::string RunConverse();
  std::string RunDeadline();
  std::string RunStatus();
  std::string RunTrailers();
  std::string RunLarge();
  std::string RunCancel();

  struct Channel;
  std::unique_ptr<Channel> channel_;
};

}  // namespace countersign::test

#endif  // COUNTERSIGN_TESTS_SUPPORT_GRPC_ECHO_CLIENT_H_
