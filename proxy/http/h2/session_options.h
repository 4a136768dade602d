// What every HTTP/2 session of ours asks of nghttp2, whatever it carries.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_SESSION_OPTIONS_H_
#define COUNTERSIGN_PROXY_HTTP_H2_SESSION_OPTIONS_H_

#include <nghttp2/nghttp2.h>

namespace countersign::http::h2 {

// One set for the process, made at the first call and never freed. Any thread.
const nghttp2_option* SessionOptions();

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_SESSION_OPTIONS_H_
