// How many cheap-to-send, dear-to-handle frames a peer may send: a token bucket per class.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_FRAME_BUDGET_H_
#define COUNTERSIGN_PROXY_HTTP_H2_FRAME_BUDGET_H_

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

namespace countersign::http::h2 {

enum class FrameClass : uint8_t {
  kPing,
  kSettings,
  kReset,  // RST_STREAM from the peer
  kWindowUpdate,
  kEmptyData,  // DATA without bytes and without END_STREAM
  kPriority,
  kUnknown,
  kOurReset,  // RST_STREAM that the peer made us send
};
inline constexpr int kFrameClassCount = static_cast<int>(FrameClass::kOurReset) + 1;

// One a session. RFC 9113, section 10.5, asks to limit these and leaves the numbers to us: bursts
// are far above what any client needs, rates bound what a flood can cost.
class FrameBudget {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  // False: the peer has used up its budget, and the session should end with ENHANCE_YOUR_CALM.
  bool Take(FrameClass frame_class, Instant now) {
    const int i = static_cast<int>(frame_class);
    Bucket& bucket = buckets_[i];
    const double elapsed = std::chrono::duration<double>(now - bucket.at).count();
    bucket.at = now;
    bucket.used = std::max(0.0, bucket.used - elapsed * kLimits[i].per_second);
    bucket.used += 1;
    return bucket.used <= kLimits[i].burst;
  }

 private:
  struct Limit {
    double burst;
    double per_second;
  };
  // In the order of FrameClass. WINDOW_UPDATE and RST_STREAM grow with honest traffic: a stream
  // needs one of the first for each half window, and one of the second when its application resets.
  static constexpr Limit kLimits[kFrameClassCount] = {
      {100, 10}, {32, 1},     {2000, 1000}, {20'000, 20'000},
      {100, 10}, {1000, 100}, {100, 10},    {100, 10},
  };
  struct Bucket {
    double used = 0;
    Instant at;
  };
  std::array<Bucket, kFrameClassCount> buckets_{};
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_FRAME_BUDGET_H_
