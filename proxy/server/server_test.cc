// The whole proxy in this process, with a control plane that is away.
#include "proxy/server/server.h"

#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <future>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "proxy/server/worker_fixture.h"

namespace countersign::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string Ask(const net::Address& server, const std::string& request_line) {
  const int fd = Dial(server);
  EXPECT_TRUE(WriteAll(fd, request_line + " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  const std::string answer = ReadAll(fd);
  close(fd);
  return answer;
}

TEST(ServerTest, DrainListenersFailsReadinessAndTheProcessGoesOnUntilItsSignal) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&signals, signal);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &signals, nullptr), 0);

  const std::string bundle = std::string(std::getenv("TEST_TMPDIR")) + "/bundle.pem";
  std::ofstream(bundle) << TestAuthority("cluster.local").root_pem();
  Options options;
  options.control = Local(FreePort()).ToString();
  options.trust_bundle_file = bundle;
  options.workload = "web";
  options.workload_namespace = "default";
  options.concurrency = 2;
  options.hold_time = std::chrono::seconds(3);
  const net::Address admin = Local(FreePort());
  const net::Address probes = Local(FreePort());
  const net::Address front = Local(FreePort());
  options.admin_listen = {admin};
  options.ready_listen = {probes};
  options.forwards = {{front, Local(FreePort())}};
  std::promise<absl::Status> started;
  std::promise<int> ended;
  std::thread proxy([&] {
    Server server(options);
    const absl::Status status = server.Start();
    started.set_value(status);
    ended.set_value(status.ok() ? server.Run() : -1);
  });
  const absl::Status status = started.get_future().get();
  ASSERT_TRUE(status.ok()) << status;
  std::future<int> end = ended.get_future();

  EXPECT_THAT(Ask(admin, "GET /ready"), AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("identity: "),
                                              Not(HasSubstr("draining"))));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Ask(admin, "POST /drain_listeners"),
                AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("draining")));
  }
  EXPECT_THAT(Ask(probes, "GET /healthz/ready"),
              AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("draining: ")));
  // The application's own connections are still taken, and held for the control plane.
  const int held = Dial(front);
  EXPECT_TRUE(
      Eventually([&] { return Ask(probes, "GET /metrics"); }, "countersign_connections_held 1\n"));
  EXPECT_EQ(end.wait_for(std::chrono::milliseconds(500)), std::future_status::timeout);
  close(held);
  // A signal ends it: nothing is left to wait for.
  kill(getpid(), SIGTERM);
  ASSERT_EQ(end.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(end.get(), 0);
  proxy.join();
}

}  // namespace
}  // namespace countersign::server
