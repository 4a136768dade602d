// Makes nghttp2 tell of frames whose type nobody knows.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_UNKNOWN_FRAMES_H_
#define COUNTERSIGN_PROXY_HTTP_H2_UNKNOWN_FRAMES_H_

#include <nghttp2/nghttp2.h>

namespace countersign::http::h2 {

// RFC 9113, section 5.5: they are to be ignored. nghttp2 does so without a word, and whoever counts
// frames would miss them; after this they are reported as all others are, and ignored as before.
// Both are needed.
void ReportUnknownFrames(nghttp2_session_callbacks* callbacks);
void ReportUnknownFrames(nghttp2_option* options);

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_UNKNOWN_FRAMES_H_
