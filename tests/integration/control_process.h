// A real countersign-control with folders of its own, and a client of its identity stream.
#ifndef COUNTERSIGN_TESTS_INTEGRATION_CONTROL_PROCESS_H_
#define COUNTERSIGN_TESTS_INTEGRATION_CONTROL_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "api/identity/v1/identity.pb.h"
#include "api/spiffe/openssl_ptr.h"

namespace grpc {
class Status;
}  // namespace grpc

namespace countersign::testing {

// One control plane on loopback; may be killed and started again on the same folders and ports.
// Errors abort the test.
class ControlProcess {
 public:
  ControlProcess();
  ~ControlProcess();

  // Replaces the Mesh resource's spec; `spec` is YAML, indented by two.
  void WriteMesh(const std::string& spec);
  // Starts and waits until it is ready.
  void Start(const std::vector<std::string>& more_flags = {});
  void StartWithoutWaiting(const std::vector<std::string>& more_flags = {});
  void Kill();
  // SIGTERM; the exit code.
  int Stop();

  // Runs the program with these arguments and returns what it printed; aborts when it fails.
  std::string Command(const std::vector<std::string>& arguments) const;
  std::string CreateToken(const std::string& spiffe_id, const std::string& ttl = "10m") const;

  // The metrics port's answer, headers included; empty when nobody answers.
  std::string Get(const std::string& path) const;

  std::string state_dir() const { return dir_ + "/state"; }
  std::string config_dir() const { return dir_ + "/config"; }
  std::string log() const;
  std::string address() const;
  int port() const { return port_; }
  pid_t pid() const { return pid_; }

 private:
  std::string dir_;
  std::string program_;
  int port_;
  int metrics_port_;
  pid_t pid_ = 0;
};

std::string ReadWholeFile(const std::string& path);

// A proxy as the control plane sees it: keys and CSRs are made here. One thread.
class IdentityProbe {
 public:
  using Request = countersign::identity::v1::IdentityRequest;
  using Response = countersign::identity::v1::IdentityResponse;

  // Verifies the server against `trust_bundle_pem`. With `chain_pem` and `key_pem` that is the
  // client certificate.
  IdentityProbe(const std::string& address, const std::string& trust_bundle_pem,
                const std::string& chain_pem = {}, const std::string& key_pem = {});
  ~IdentityProbe();

  // A request with a CSR for a new key, which is then the present one once it is granted.
  Request NewRequest();
  Request WithToken(const std::string& token);
  Request WithSvid();

  bool Write(const Request& request);
  // Nothing when the stream has ended or nothing came in `timeout`.
  bool Read(Response* response, absl::Duration timeout = absl::Seconds(10));
  // Sends and returns the answer; an empty one when the stream ended.
  Response Ask(const Request& request);
  // Ends the stream and returns its status.
  grpc::Status Finish();

  // Of the last certificate, PEM.
  std::string ChainPem(const Response& response) const;
  std::string key_pem() const;

 private:
  struct Call;

  std::unique_ptr<Call> call_;
  spiffe::EvpPkeyPtr key_;
};

}  // namespace countersign::testing

#endif  // COUNTERSIGN_TESTS_INTEGRATION_CONTROL_PROCESS_H_
