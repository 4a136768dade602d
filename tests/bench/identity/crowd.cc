#include "tests/bench/identity/crowd.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "api/identity/v1/identity.grpc.pb.h"
#include "tests/bench/identity/csr.h"

namespace countersign::bench {

namespace {

using Clock = std::chrono::steady_clock;
namespace pb = ::countersign::identity::v1;

// The name in the control plane's certificate.
constexpr char kServerName[] = "countersign-control";
constexpr auto kPatience = std::chrono::seconds(60);

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

std::vector<std::string> MakeCsrs(size_t count) {
  std::vector<std::string> csrs;
  csrs.reserve(count);
  for (size_t i = 0; i < count; ++i) csrs.push_back(MakeCsr());
  return csrs;
}

}  // namespace

// Hands out the work of one phase, `window` requests at a time, and collects what became of it.
// Called from gRPC's threads; lives on the stack of Crowd::Run.
class Crowd::Phase {
 public:
  Phase(std::vector<std::unique_ptr<Proxy>>& proxies, const std::vector<std::string>& csrs)
      : proxies_(proxies), csrs_(csrs) {}

  CrowdFigures Run(size_t window);
  void OnCertificate(double milliseconds);
  void OnFailure(const std::string& sentence);
  void OnRetry();

 private:
  void StartNext();
  void OnOver();

  std::vector<std::unique_ptr<Proxy>>& proxies_;
  const std::vector<std::string>& csrs_;
  std::mutex mutex_;
  std::condition_variable all_over_;
  size_t next_ = 0;
  size_t over_ = 0;
  CrowdFigures figures_;
  std::vector<double> milliseconds_;
};

// One identity stream. Its reactor's methods run on gRPC's threads, one read and one write at a
// time.
class Crowd::Proxy : public grpc::ClientBidiReactor<pb::IdentityRequest, pb::IdentityResponse> {
 public:
  Proxy(std::shared_ptr<grpc::Channel> channel, std::string token)
      : stub_(pb::IdentityService::NewStub(std::move(channel))), token_(std::move(token)) {}

  ~Proxy() override {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!open_) return;
    context_.TryCancel();
    done_.wait(lock, [this] { return !open_; });
  }

  // Sends the CSR; the first time, opens the stream and attests with the token.
  void Request(const std::string& csr, Phase* phase) {
    const std::lock_guard<std::mutex> lock(mutex_);
    phase_ = phase;
    csr_ = &csr;
    started_ = Clock::now();
    pb::IdentityRequest request;
    request.set_request_id(std::to_string(++requests_));
    request.set_csr(csr);
    if (requests_ > 1) {
      Send(std::move(request));
      return;
    }
    request.mutable_attestation()->set_join_token(token_);
    open_ = true;
    stub_->async()->StreamIdentity(&context_, this);
    StartRead(&response_);
    Send(std::move(request));
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    Phase* phase = nullptr;
    std::string failure;
    double milliseconds = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (response_.has_refusal()) {
        failure = "refused: " + response_.refusal().message();
        if (response_.refusal().reason() == pb::Refusal::RATE_LIMITED) {
          Retry(response_.refusal().retry_after());
          failure.clear();
        } else {
          std::swap(phase, phase_);
        }
      } else {
        if (response_.has_svid()) {
          milliseconds = Milliseconds(Clock::now() - started_);
          std::swap(phase, phase_);
        }
        pb::IdentityRequest acknowledgement;
        acknowledgement.set_acked_version(response_.version());
        Send(std::move(acknowledgement));
      }
      response_.Clear();
      StartRead(&response_);
    }
    if (phase == nullptr) return;
    if (failure.empty()) {
      phase->OnCertificate(milliseconds);
    } else {
      phase->OnFailure(failure);
    }
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!ok || outbox_.empty()) return;
    outbox_.pop_front();
    if (!outbox_.empty()) StartWrite(&outbox_.front());
  }

  void OnDone(const grpc::Status& status) override {
    Phase* phase = nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::swap(phase, phase_);
    }
    if (phase != nullptr) {
      phase->OnFailure("the stream ended: " + std::to_string(status.error_code()) + " " +
                       status.error_message());
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = false;
    // Under the lock: the destructor may run as soon as it sees the stream closed.
    done_.notify_all();
  }

 private:
  void Send(pb::IdentityRequest request) {
    outbox_.push_back(std::move(request));
    if (outbox_.size() == 1) StartWrite(&outbox_.front());
  }

  // The control plane sheds load: the same request again, after the time that it has named.
  void Retry(const google::protobuf::Duration& after) {
    phase_->OnRetry();
    std::this_thread::sleep_for(std::chrono::seconds(after.seconds()) +
                                std::chrono::nanoseconds(after.nanos()));
    pb::IdentityRequest request;
    request.set_request_id(std::to_string(++requests_));
    request.set_csr(*csr_);
    Send(std::move(request));
  }

  const std::unique_ptr<pb::IdentityService::Stub> stub_;
  const std::string token_;
  grpc::ClientContext context_;
  pb::IdentityResponse response_;
  std::mutex mutex_;
  std::condition_variable done_;
  bool open_ = false;
  std::deque<pb::IdentityRequest> outbox_;  // the first is being written
  Phase* phase_ = nullptr;                  // set while a certificate is awaited
  const std::string* csr_ = nullptr;
  uint64_t requests_ = 0;
  Clock::time_point started_;
};

CrowdFigures Crowd::Phase::Run(size_t window) {
  const Clock::time_point start = Clock::now();
  for (size_t i = 0; i < window; ++i) StartNext();
  std::unique_lock<std::mutex> lock(mutex_);
  // Once a minute without any progress is a failure of the control plane, and said so.
  for (size_t seen = over_; over_ < proxies_.size(); seen = over_) {
    all_over_.wait_for(lock, kPatience, [this] { return over_ == proxies_.size(); });
    if (over_ == seen) {
      fprintf(stderr, "no answer for a minute; %zu of %zu proxies have theirs\n", over_,
              proxies_.size());
      exit(1);
    }
  }
  figures_.seconds = Milliseconds(Clock::now() - start) / 1e3;
  std::sort(milliseconds_.begin(), milliseconds_.end());
  if (!milliseconds_.empty()) {
    figures_.p50_ms = milliseconds_[milliseconds_.size() / 2];
    figures_.p99_ms = milliseconds_[milliseconds_.size() * 99 / 100];
  }
  return figures_;
}

void Crowd::Phase::StartNext() {
  size_t index = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (next_ == proxies_.size()) return;
    index = next_++;
  }
  proxies_[index]->Request(csrs_[index], this);
}

void Crowd::Phase::OnCertificate(double milliseconds) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++figures_.certificates;
    milliseconds_.push_back(milliseconds);
  }
  OnOver();
}

void Crowd::Phase::OnFailure(const std::string& sentence) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (figures_.failures++ == 0) figures_.first_failure = sentence;
  }
  OnOver();
}

void Crowd::Phase::OnRetry() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++figures_.retries;
}

void Crowd::Phase::OnOver() {
  // First, as the phase may be gone once the last one is counted.
  StartNext();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (++over_ == proxies_.size()) all_over_.notify_all();
}

Crowd::Crowd(Options options)
    : options_(std::move(options)),
      first_csrs_(MakeCsrs(options_.tokens.size())),
      renewal_csrs_(MakeCsrs(options_.tokens.size())) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = options_.trust_bundle_pem;
  const auto credentials = grpc::SslCredentials(tls);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (size_t i = 0; i < std::max<size_t>(options_.connections, 1); ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride(kServerName);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channels.push_back(grpc::CreateCustomChannel(options_.target, credentials, arguments));
  }
  for (size_t i = 0; i < options_.tokens.size(); ++i) {
    proxies_.push_back(std::make_unique<Proxy>(channels[i % channels.size()], options_.tokens[i]));
  }
}

Crowd::~Crowd() = default;

CrowdFigures Crowd::Attest() { return Run(first_csrs_); }

CrowdFigures Crowd::Renew() { return Run(renewal_csrs_); }

CrowdFigures Crowd::Run(const std::vector<std::string>& csrs) {
  return Phase(proxies_, csrs).Run(options_.window);
}

}  // namespace countersign::bench
