// The tries of one router's requests.
#ifndef COUNTERSIGN_PROXY_ROUTER_ATTEMPTS_H_
#define COUNTERSIGN_PROXY_ROUTER_ATTEMPTS_H_

#include <memory>
#include <vector>

#include "proxy/http/codec.h"
#include "proxy/router/upstream_request.h"

namespace countersign::router {

// The present try; those that are over but for their codec's word; and those that wait for work, as
// all of them are used again. A member of its router, on its worker's thread.
class Attempts {
 public:
  explicit Attempts(Router& router) : router_(router) {}
  Attempts(const Attempts&) = delete;
  Attempts& operator=(const Attempts&) = delete;
  ~Attempts();  // resets what is left

  // Null between tries.
  UpstreamRequest* present() const { return present_.get(); }
  // None is on its way any more.
  bool idle() const { return present_ == nullptr && ending_.empty(); }

  // Makes a new one the present one, while there is none.
  UpstreamRequest& Begin(http::Protocol downstream_protocol);
  // The present one, if there is one, is over: what it has not sent yet is not wanted.
  void LetGo();
  // The present one was given all, of the request and of the response: what it has not sent yet it
  // still gets a while for.
  void Linger();
  // Its stream has ended. False: it was not the present one, and waits for work.
  bool OnStreamEnd(UpstreamRequest& attempt);

 private:
  Router& router_;
  std::unique_ptr<UpstreamRequest> present_;
  std::vector<std::unique_ptr<UpstreamRequest>> ending_;
  std::vector<std::unique_ptr<UpstreamRequest>> spare_;
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_ATTEMPTS_H_
