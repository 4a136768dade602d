// A proxy's identity from birth to death: the real countersign-control and the real
// countersign-proxy on loopback, observed through the admin pages.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kControlBinary[] = "control/main/countersign-control";
constexpr char kProxyBinary[] = "proxy/main/countersign-proxy";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteFile(const std::string& path, const std::string& content) {
  // In one step, as tools that people use do.
  std::ofstream(path + ".new") << content;
  std::filesystem::rename(path + ".new", path);
}

uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  bind(fd, reinterpret_cast<sockaddr*>(&address), length);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

// A child process whose output goes to a file; killed when the object dies.
class Process {
 public:
  Process(const std::vector<std::string>& arguments, const std::string& log_path,
          const std::string& error_path) {
    pid_ = fork();
    if (pid_ == 0) {
      const int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      const int error = error_path == log_path
                            ? log
                            : open(error_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(log, STDOUT_FILENO);
      dup2(error, STDERR_FILENO);
      std::vector<char*> argv;
      for (const std::string& argument : arguments) {
        argv.push_back(const_cast<char*>(argument.c_str()));
      }
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  ~Process() {
    if (pid_ > 0) {
      Signal(SIGKILL);
      Wait(seconds(10));
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Signal(int signal) { kill(pid_, signal); }

  // The exit code; nothing while it runs on, 1000 + signal if it was killed.
  std::optional<int> Wait(milliseconds patience) {
    for (; pid_ > 0; patience -= milliseconds(20)) {
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
      } else if (patience.count() <= 0) {
        return std::nullopt;
      } else {
        std::this_thread::sleep_for(milliseconds(20));
      }
    }
    return exit_code_;
  }

 private:
  pid_t pid_ = -1;
  int exit_code_ = -1;
};

// The answer to a request, or nothing if nobody answers.
std::string Ask(uint16_t port, const std::string& bytes) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    (void)!send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    char buffer[65536];
    for (ssize_t n = 0; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, n);
    }
  }
  close(fd);
  return answer;
}

std::string Get(uint16_t port, const std::string& path) {
  return Ask(port, absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
}

std::string Body(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "" : answer.substr(end + 4);
}

bool Eventually(milliseconds patience, const std::function<bool()>& condition) {
  for (; patience.count() > 0; patience -= milliseconds(50)) {
    if (condition()) {
      return true;
    }
    std::this_thread::sleep_for(milliseconds(50));
  }
  return condition();
}

class IdentityLifecycleTest : public ::testing::Test {
 protected:
  IdentityLifecycleTest() {
    directory_ = absl::StrCat(getenv("TEST_TMPDIR"), "/XXXXXX");
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    std::filesystem::create_directory(Path("config"));
    std::filesystem::create_directory(Path("state"));
    std::filesystem::permissions(Path("state"), std::filesystem::perms::owner_all);
    WriteMesh("1h");
  }

  std::string Path(const std::string& name) const { return absl::StrCat(directory_, "/", name); }

  void WriteMesh(const std::string& ttl) {
    WriteFile(Path("config/mesh.yaml"),
              absl::StrCat("apiVersion: countersign.dev/v1alpha1\nkind: Mesh\n"
                           "metadata: {name: mesh}\nspec:\n  certificates: {ttl: ",
                           ttl,
                           "}\n---\napiVersion: countersign.dev/v1alpha1\n"
                           "kind: ExternalWorkload\nmetadata: {name: web, namespace: shop}\n"
                           "spec: {addresses: [127.0.0.1], serviceAccount: web}\n"));
  }

  void StartControl() {
    control_.emplace(std::vector<std::string>{kControlBinary, "--config-dir", Path("config"),
                                              "--state-dir", Path("state"), "--listen",
                                              absl::StrCat("127.0.0.1:", control_port_),
                                              "--metrics-listen", "127.0.0.1:0"},
                     Path("control.log"), Path("control.log"));
    ASSERT_TRUE(Eventually(seconds(20), [this] {
      return ReadFile(Path("control.log")).find("serving identities") != std::string::npos;
    })) << ReadFile(Path("control.log"));
  }

  void KillControl() {
    control_->Signal(SIGKILL);
    control_->Wait(seconds(10));
    control_.reset();
  }

  std::string NewToken() {
    Process create({kControlBinary, "token", "create", "--state-dir", Path("state"), "--spiffe-id",
                    "spiffe://cluster.local/ns/shop/sa/web"},
                   Path("token.out"), Path("token.err"));
    EXPECT_EQ(create.Wait(seconds(20)), 0) << ReadFile(Path("token.err"));
    return ReadFile(Path("token.out"));
  }

  std::vector<std::string> ProxyArguments(uint16_t admin_port) const {
    return {kProxyBinary,
            "--control",
            absl::StrCat("127.0.0.1:", control_port_),
            "--trust-bundle",
            Path("state/bundle.pem"),
            "--join-token-file",
            Path("token"),
            "--workload",
            "web",
            "--namespace",
            "shop",
            "--admin",
            absl::StrCat("127.0.0.1:", admin_port),
            "--metrics-listen",
            "off",
            "--ready-listen",
            "off",
            "--outbound-listen",
            "off",
            "--inbound-listen",
            "off",
            "--hbone-listen",
            "off",
            "--drain-time",
            "2s"};
  }

  void StartProxy() {
    WriteFile(Path("token"), NewToken());
    proxy_.emplace(ProxyArguments(admin_port_), Path("proxy.log"), Path("proxy.log"));
  }

  std::string Page(const std::string& path) const { return Body(Get(admin_port_, path)); }
  bool Ready() const {
    return Get(admin_port_, "/ready").find("HTTP/1.1 200") != std::string::npos;
  }
  bool WaitReady(milliseconds patience = seconds(20)) const {
    return Eventually(patience, [this] { return Ready(); });
  }
  std::string Serial() const {
    const nlohmann::json certs = nlohmann::json::parse(Page("/certs"), nullptr, false);
    return certs.is_object() && !certs["chain"].empty() ? certs["chain"][0]["serial"] : "";
  }

  std::string directory_;
  const uint16_t control_port_ = FreePort();
  const uint16_t admin_port_ = FreePort();
  std::optional<Process> control_;
  std::optional<Process> proxy_;
};

TEST_F(IdentityLifecycleTest, AProxyIsReadyOnceItHasItsCertificateAndATokenWorksOnce) {
  StartControl();
  StartProxy();
  ASSERT_TRUE(WaitReady()) << Page("/ready") << ReadFile(Path("proxy.log"));
  EXPECT_THAT(Page("/certs"), HasSubstr("spiffe://cluster.local/ns/shop/sa/web"));
  EXPECT_THAT(Page("/certs") + Page("/config_dump") + ReadFile(Path("proxy.log")),
              Not(HasSubstr("PRIVATE KEY")));
  const std::string token = ReadFile(Path("token"));
  EXPECT_THAT(Page("/config_dump") + ReadFile(Path("proxy.log")) + ReadFile(Path("control.log")),
              Not(HasSubstr(token.substr(0, token.find_last_not_of('\n') + 1))));

  // A thief of the token comes too late.
  const uint16_t other_admin = FreePort();
  Process thief(ProxyArguments(other_admin), Path("thief.log"), Path("thief.log"));
  ASSERT_TRUE(Eventually(seconds(20), [&] {
    return Body(Get(other_admin, "/ready")).find("token_") != std::string::npos;
  })) << Body(Get(other_admin, "/ready"));
  EXPECT_THAT(Body(Get(other_admin, "/ready")), HasSubstr("correlation id"));
  EXPECT_THAT(Body(Get(other_admin, "/metrics")),
              HasSubstr("countersign_identity_refusals_total{reason=\"token_"));
  EXPECT_TRUE(Ready());
}

TEST_F(IdentityLifecycleTest, CertificatesRotateWithoutAMomentOfUnreadiness) {
  WriteMesh("6s");
  StartControl();
  StartProxy();
  ASSERT_TRUE(WaitReady()) << ReadFile(Path("proxy.log"));
  std::set<std::string> serials;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(Ready()) << Page("/ready");
    serials.insert(Serial());
    std::this_thread::sleep_for(milliseconds(100));
  }
  EXPECT_GE(serials.size(), 3u);
  EXPECT_THAT(Page("/metrics"),
              HasSubstr("countersign_identity_requests_total{attestation=\"join_token\"} 1\n"));
}

TEST_F(IdentityLifecycleTest, AfterTheControlPlaneWasKilledItAttestsWithItsCertificate) {
  StartControl();
  StartProxy();
  ASSERT_TRUE(WaitReady()) << ReadFile(Path("proxy.log"));
  const std::string serial = Serial();
  KillControl();
  std::this_thread::sleep_for(seconds(2));
  EXPECT_TRUE(Ready()) << Page("/ready");
  EXPECT_EQ(Serial(), serial);
  StartControl();
  ASSERT_TRUE(Eventually(seconds(40), [&] { return Serial() != serial; }))
      << ReadFile(Path("proxy.log"));
  EXPECT_TRUE(Ready());
  EXPECT_THAT(Page("/metrics"),
              HasSubstr("countersign_identity_rotations_total{cause=\"reconnect\"} 1\n"));
  EXPECT_THAT(Page("/metrics"),
              HasSubstr("countersign_identity_requests_total{attestation=\"join_token\"} 1\n"));
}

TEST_F(IdentityLifecycleTest, AnExpiredCertificateShowsAndANewTokenMendsIt) {
  WriteMesh("6s");
  StartControl();
  StartProxy();
  ASSERT_TRUE(WaitReady()) << ReadFile(Path("proxy.log"));
  KillControl();
  ASSERT_TRUE(Eventually(seconds(20), [&] {
    return Page("/ready").find("could not be renewed") != std::string::npos ||
           Page("/ready").find("expired") != std::string::npos;
  })) << Page("/ready");
  ASSERT_TRUE(Eventually(seconds(20), [&] {
    return Page("/ready").find("expired") != std::string::npos;
  })) << Page("/ready");
  std::this_thread::sleep_for(seconds(1));
  EXPECT_THAT(Page("/metrics"), HasSubstr("countersign_certificate_expiry_seconds{spiffe_id="
                                          "\"spiffe://cluster.local/ns/shop/sa/web\"} -"));
  EXPECT_THAT(Page("/metrics"), HasSubstr("countersign_ready 0\n"));
  StartControl();
  WriteFile(Path("token"), NewToken());
  EXPECT_TRUE(WaitReady(seconds(60))) << Page("/ready") << ReadFile(Path("proxy.log"));
}

TEST_F(IdentityLifecycleTest, SigtermEndsItInOrder) {
  StartControl();
  StartProxy();
  ASSERT_TRUE(WaitReady()) << ReadFile(Path("proxy.log"));
  proxy_->Signal(SIGTERM);
  EXPECT_EQ(proxy_->Wait(seconds(10)), 0) << ReadFile(Path("proxy.log"));
  EXPECT_THAT(ReadFile(Path("proxy.log")), HasSubstr("drained"));
}

TEST_F(IdentityLifecycleTest, UnusableFlagsAndPortsEndItWithASentence) {
  StartControl();
  StartProxy();
  ASSERT_TRUE(WaitReady()) << ReadFile(Path("proxy.log"));
  Process second(ProxyArguments(admin_port_), Path("second.log"), Path("second.log"));
  EXPECT_EQ(second.Wait(seconds(20)), 1);
  EXPECT_THAT(ReadFile(Path("second.log")), HasSubstr("Address already in use; another program"));

  std::vector<std::string> arguments = ProxyArguments(FreePort());
  arguments.insert(arguments.end(), {"--concurrency", "many"});
  Process third(arguments, Path("third.log"), Path("third.log"));
  EXPECT_EQ(third.Wait(seconds(20)), 2);
  EXPECT_THAT(ReadFile(Path("third.log")), HasSubstr("--concurrency many: write a number"));

  arguments = ProxyArguments(FreePort());
  arguments[4] = Path("nowhere.pem");
  Process fourth(arguments, Path("fourth.log"), Path("fourth.log"));
  EXPECT_EQ(fourth.Wait(seconds(20)), 1);
  EXPECT_THAT(ReadFile(Path("fourth.log")), HasSubstr("cannot read the trust bundle"));
}

TEST_F(IdentityLifecycleTest, GarbageOnTheAdminPortHurtsNobody) {
  StartControl();
  StartProxy();
  ASSERT_TRUE(WaitReady()) << ReadFile(Path("proxy.log"));
  std::mt19937 random(5);
  for (int i = 0; i < 100; ++i) {
    std::string bytes(random() % 12'000, '\0');
    for (char& c : bytes) {
      c = static_cast<char>(random());
    }
    Ask(admin_port_,
        absl::StrCat(i % 2 == 0 ? "GET /metrics HTTP/1.1\r\n" : "", bytes, "\r\n\r\n"));
  }
  EXPECT_THAT(Ask(admin_port_, "GET /certs HTTP/1.1\r\nHost: rebound.example\r\n\r\n"),
              HasSubstr("403 Forbidden"));
  EXPECT_TRUE(Ready());
}

}  // namespace
}  // namespace countersign
