// Many proxies as far as the control plane can see them: identity streams that attest, get
// certificates, acknowledge them, renew, and otherwise stay open and quiet.
#ifndef COUNTERSIGN_TESTS_BENCH_IDENTITY_CROWD_H_
#define COUNTERSIGN_TESTS_BENCH_IDENTITY_CROWD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace countersign::bench {

// What a phase of the load found.
struct CrowdFigures {
  size_t certificates = 0;
  size_t failures = 0;
  size_t retries = 0;         // refusals that asked to try later
  std::string first_failure;  // a sentence, or empty
  double seconds = 0;
  double p50_ms = 0;  // from request to certificate
  double p99_ms = 0;
};

// Constructed and driven by one thread; the streams run on gRPC's. Destruction ends the streams.
class Crowd {
 public:
  struct Options {
    std::string target;               // HOST:PORT of the control plane
    std::string trust_bundle_pem;     // what its certificate must chain to
    std::vector<std::string> tokens;  // a join token for each proxy
    size_t connections = 16;          // shared by the proxies; as many as tokens: one each
    size_t window = 64;               // requests that are under way at the same time
  };

  explicit Crowd(Options options);
  ~Crowd();
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  // Opens a stream for each token, attests, and waits for every certificate or refusal. Once.
  CrowdFigures Attest();
  // Asks for a new certificate on every stream and waits for all.
  CrowdFigures Renew();

 private:
  class Proxy;
  class Phase;

  CrowdFigures Run(const std::vector<std::string>& csrs);

  const Options options_;
  std::vector<std::string> first_csrs_;
  std::vector<std::string> renewal_csrs_;
  std::vector<std::unique_ptr<Proxy>> proxies_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_TESTS_BENCH_IDENTITY_CROWD_H_
