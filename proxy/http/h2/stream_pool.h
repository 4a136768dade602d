// Streams that have ended, kept with their memory for the next ones.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_STREAM_POOL_H_
#define COUNTERSIGN_PROXY_HTTP_H2_STREAM_POOL_H_

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace countersign::http::h2 {

// One a thread and kind of stream.
template <typename Stream>
class StreamPool {
 public:
  static StreamPool& ForThisThread() {
    static thread_local StreamPool pool;
    return pool;
  }

  std::unique_ptr<Stream> Take() {
    if (kept_.empty()) return std::make_unique<Stream>();
    std::unique_ptr<Stream> stream = std::move(kept_.back());
    kept_.pop_back();
    return stream;
  }
  void Give(std::unique_ptr<Stream> stream) {
    if (kept_.size() < kMaxKept) kept_.push_back(std::move(stream));
  }

 private:
  // Of some 3 KB each.
  static constexpr size_t kMaxKept = 128;

  std::vector<std::unique_ptr<Stream>> kept_;
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_STREAM_POOL_H_
