// Answers that the proxy gives itself.
#ifndef COUNTERSIGN_PROXY_FILTER_LOCAL_REPLY_H_
#define COUNTERSIGN_PROXY_FILTER_LOCAL_REPLY_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proxy/buffer/buffer.h"
#include "proxy/http/message.h"
#include "proxy/router/router.h"

namespace countersign::filter {

// Makes `reply` a response to `request`: gRPC gets trailers only, JSON whoever prefers it, anybody
// else text. Both ways the reason and flags stand in headers. A response to HEAD has the same head
// and no body.
void WriteLocalReply(const router::LocalReply& reply, const http::RequestHead& request,
                     absl::string_view date, http::ResponseHead* head, buffer::Buffer* body);

// One a worker: the `date` of answers (RFC 9110, section 5.6.7), made once a second.
class HttpDate {
 public:
  absl::string_view Get(absl::Time now);

 private:
  int64_t second_ = -1;
  std::string text_;
};

}  // namespace countersign::filter

#endif  // COUNTERSIGN_PROXY_FILTER_LOCAL_REPLY_H_
