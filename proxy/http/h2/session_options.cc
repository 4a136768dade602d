#include "proxy/http/h2/session_options.h"

#include <cstdlib>

#include "proxy/http/h2/unknown_frames.h"

namespace countersign::http::h2 {

const nghttp2_option* SessionOptions() {
  static nghttp2_option* const options = [] {
    nghttp2_option* o;
    if (nghttp2_option_new(&o) != 0) std::abort();
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_max_outbound_ack(o, 64);
    nghttp2_option_set_max_settings(o, 32);
    nghttp2_option_set_peer_max_concurrent_streams(o, 100);
    // A head that was taken where it came from (net::kMaxHeadKib) goes on as well; nghttp2's own
    // limit is 64 KiB.
    nghttp2_option_set_max_send_header_block_length(o, 160 * 1024);
    // Ours (FrameBudget) is the stricter in the long run; this one would end a session whose
    // applications reset 33 streams a second.
    nghttp2_option_set_stream_reset_rate_limit(o, 4000, 2000);
    // Closed streams would be kept for RFC 7540's priorities, which nobody uses here.
    nghttp2_option_set_no_closed_streams(o, 1);
    ReportUnknownFrames(o);
    return o;
  }();
  return options;
}

}  // namespace countersign::http::h2
