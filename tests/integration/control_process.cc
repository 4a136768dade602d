#include "tests/integration/control_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <thread>

#include "absl/strings/str_cat.h"
#include "api/identity/v1/identity.grpc.pb.h"
#include "api/spiffe/testing/test_authority.h"
#include "control/ca/testing/test_csr.h"

namespace countersign::testing {
namespace {

void Require(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "the test's set-up failed: %s\n", what.c_str());
  std::abort();
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  Require(bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0, "no free port");
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

// Starts `arguments`, with stdout and stderr in the files, if they are given.
pid_t Spawn(std::vector<std::string> arguments, const std::string& out, const std::string& err) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    const auto redirect = [](const std::string& path, int to) {
      const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      if (fd >= 0) dup2(fd, to);
    };
    if (!out.empty()) redirect(out, 1);
    if (!err.empty()) redirect(err, 2);
    execv(argv[0], argv.data());
    _exit(127);
  }
  Require(pid > 0, "fork");
  return pid;
}

}  // namespace

std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

ControlProcess::ControlProcess()
    : dir_(::testing::TempDir() + "control_XXXXXX"),
      program_(std::filesystem::absolute("control/main/countersign-control")),
      port_(FreePort()),
      metrics_port_(FreePort()) {
  Require(mkdtemp(dir_.data()) != nullptr, dir_);
  std::filesystem::create_directory(config_dir());
  WriteMesh("  trustDomain: cluster.local\n");
}

ControlProcess::~ControlProcess() {
  Kill();
  std::filesystem::remove_all(dir_);
}

std::string ControlProcess::address() const { return absl::StrCat("127.0.0.1:", port_); }
std::string ControlProcess::log() const { return ReadWholeFile(dir_ + "/log"); }

void ControlProcess::WriteMesh(const std::string& spec) {
  std::ofstream(dir_ + "/mesh.new") << "apiVersion: countersign.dev/v1alpha1\nkind: Mesh\n"
                                       "metadata:\n  name: mesh\nspec:\n"
                                    << spec;
  std::filesystem::rename(dir_ + "/mesh.new", config_dir() + "/mesh.yaml");
}

void ControlProcess::StartWithoutWaiting(const std::vector<std::string>& more_flags) {
  std::vector<std::string> arguments = {
      program_,      "--config-dir",     config_dir(),
      "--state-dir", state_dir(),        "--listen",
      address(),     "--metrics-listen", absl::StrCat("127.0.0.1:", metrics_port_)};
  arguments.insert(arguments.end(), more_flags.begin(), more_flags.end());
  pid_ = Spawn(std::move(arguments), "", dir_ + "/log");
}

void ControlProcess::Start(const std::vector<std::string>& more_flags) {
  StartWithoutWaiting(more_flags);
  for (int i = 0; i < 3000; ++i) {
    if (Get("/ready").find("200 OK") != std::string::npos) return;
    int status = 0;
    Require(waitpid(pid_, &status, WNOHANG) == 0, "the control plane ended: " + log());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  Require(false, "the control plane is not ready: " + log());
}

void ControlProcess::Kill() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

int ControlProcess::Stop() {
  kill(pid_, SIGTERM);
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string ControlProcess::Command(const std::vector<std::string>& arguments) const {
  std::string out = dir_ + "/out_XXXXXX";
  close(mkstemp(out.data()));
  std::vector<std::string> all = {program_};
  all.insert(all.end(), arguments.begin(), arguments.end());
  int status = 0;
  waitpid(Spawn(all, out, ""), &status, 0);
  std::string result = ReadWholeFile(out);
  unlink(out.c_str());
  Require(status == 0, "a command of the control plane failed");
  if (!result.empty() && result.back() == '\n') result.pop_back();
  return result;
}

std::string ControlProcess::CreateToken(const std::string& spiffe_id,
                                        const std::string& ttl) const {
  return Command(
      {"token", "create", "--state-dir", state_dir(), "--spiffe-id", spiffe_id, "--ttl", ttl});
}

std::string ControlProcess::Get(const std::string& path) const {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(metrics_port_));
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request =
        absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\r\n");
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
      char buffer[4096];
      ssize_t got;
      while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) answer.append(buffer, got);
    }
  }
  close(fd);
  return answer;
}

struct IdentityProbe::Call {
  std::unique_ptr<identity::v1::IdentityService::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> stream;
};

IdentityProbe::IdentityProbe(const std::string& address, const std::string& trust_bundle_pem,
                             const std::string& chain_pem, const std::string& key_pem) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = trust_bundle_pem;
  options.pem_cert_chain = chain_pem;
  options.pem_private_key = key_pem;
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("countersign-control");
  // A connection of its own, and no waiting after a failed one.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxSendMessageSize(-1);
  call_ = std::make_unique<Call>();
  call_->stub = identity::v1::IdentityService::NewStub(
      grpc::CreateCustomChannel(address, grpc::SslCredentials(options), arguments));
  call_->stream = call_->stub->StreamIdentity(&call_->context);
}

IdentityProbe::~IdentityProbe() {
  if (call_->stream == nullptr) return;
  call_->context.TryCancel();
  Finish();
}

IdentityProbe::Request IdentityProbe::NewRequest() {
  auto csr = control::ca::testing::MakeCsr();
  key_ = std::move(csr.key);
  Request request;
  request.set_request_id("probe");
  request.set_csr(std::move(csr.der));
  return request;
}

IdentityProbe::Request IdentityProbe::WithToken(const std::string& token) {
  Request request = NewRequest();
  request.mutable_attestation()->set_join_token(token);
  return request;
}

IdentityProbe::Request IdentityProbe::WithSvid() {
  Request request = NewRequest();
  request.mutable_attestation()->mutable_svid();
  return request;
}

bool IdentityProbe::Write(const Request& request) { return call_->stream->Write(request); }

bool IdentityProbe::Read(Response* response, absl::Duration timeout) {
  // The stream's read has no deadline of its own; when time is up the whole stream is cancelled.
  std::promise<void> done;
  std::thread watchdog([&, future = done.get_future()] {
    if (future.wait_for(absl::ToChronoMilliseconds(timeout)) == std::future_status::timeout) {
      call_->context.TryCancel();
    }
  });
  const bool read = call_->stream->Read(response);
  done.set_value();
  watchdog.join();
  return read;
}

IdentityProbe::Response IdentityProbe::Ask(const Request& request) {
  Response response;
  if (!Write(request) || !Read(&response)) response.Clear();
  return response;
}

grpc::Status IdentityProbe::Finish() {
  call_->stream->WritesDone();
  Response ignored;
  while (Read(&ignored, absl::Seconds(10))) {
  }
  const grpc::Status status = call_->stream->Finish();
  call_->stream = nullptr;
  return status;
}

std::string IdentityProbe::ChainPem(const Response& response) const {
  std::string pem;
  for (const std::string& der : response.svid().chain()) {
    pem += spiffe::testing::CertificateToPem(spiffe::testing::CertificateFromDer(der).get());
  }
  return pem;
}

std::string IdentityProbe::key_pem() const { return spiffe::testing::KeyToPem(key_.get()); }

}  // namespace countersign::testing
