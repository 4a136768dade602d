#include "proxy/http/path.h"

#include <cstring>
#include <string>

namespace countersign::http {

namespace {

constexpr char kHex[] = "0123456789ABCDEF";
// Longer paths that need work are put together on the heap.
constexpr size_t kStackBytes = 1024;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986, section 2.3.
bool IsUnreserved(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

bool NeedsWork(absl::string_view path, bool merge_slashes) {
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c == '%' || c == '\\') return true;
    if (c == '/' && i + 1 < path.size() &&
        ((merge_slashes && path[i + 1] == '/') || path[i + 1] == '.')) {
      return true;
    }
  }
  return false;
}

// Writes the normal form, which is never longer than what is read, segment by segment.
class Writer {
 public:
  Writer(char* out, bool merge_slashes) : out_(out), merge_slashes_(merge_slashes) {
    out_[size_++] = '/';
    segment_ = size_;
  }
  void Put(char c) { out_[size_++] = c; }
  // False: a dot segment with parameters.
  bool EndSegment(bool slash) {
    const absl::string_view segment(out_ + segment_, size_ - segment_);
    if (segment == ".") {
      size_ = segment_;
      return true;
    }
    if (segment == "..") {
      size_ = segment_;
      if (size_ > 1) {
        --size_;  // the slash before it
        while (out_[size_ - 1] != '/') --size_;
      }
      segment_ = size_;
      return true;
    }
    if (IsDotsWithParameters(segment)) return false;
    if (!slash || (merge_slashes_ && segment.empty())) return true;
    out_[size_++] = '/';
    segment_ = size_;
    return true;
  }
  size_t size() const { return size_; }

 private:
  static bool IsDotsWithParameters(absl::string_view segment) {
    size_t dots = 0;
    while (dots < segment.size() && segment[dots] == '.') ++dots;
    if (dots == 0 || dots > 2) return false;
    const absl::string_view rest = segment.substr(dots);
    return !rest.empty() && (rest[0] == ';' || rest.substr(0, 3) == "%3B");
  }

  char* const out_;
  const bool merge_slashes_;
  size_t size_ = 0;
  size_t segment_ = 0;
};

}  // namespace

NormalisedPath NormalisePath(absl::string_view path, const PathRules& rules, HeaderMap& memory) {
  const size_t question = path.find('?');
  const absl::string_view query =
      question == absl::string_view::npos ? absl::string_view() : path.substr(question);
  const absl::string_view bare = path.substr(0, question);
  // `*`, and the empty path of CONNECT.
  if (bare.empty() || bare[0] != '/' || !NeedsWork(bare, rules.merge_slashes)) return {path};

  char stack[kStackBytes];
  std::string heap;
  char* out = stack;
  if (bare.size() > sizeof stack) {
    heap.resize(bare.size());
    out = heap.data();
  }
  Writer writer(out, rules.merge_slashes);
  for (size_t i = 1; i < bare.size(); ++i) {
    char c = bare[i];
    bool slash = c == '/' || c == '\\';
    if (c == '%') {
      const int high = i + 2 < bare.size() ? HexDigit(bare[i + 1]) : -1;
      const int low = high >= 0 ? HexDigit(bare[i + 2]) : -1;
      if (low < 0) return {{}, "the path has a % that no two hexadecimal digits follow"};
      i += 2;
      const int byte = high * 16 + low;
      if (byte == 0) return {{}, "the path has a NUL in it (%00)"};
      const bool escaped_slash = byte == '/' || byte == '\\';
      if (escaped_slash && rules.escaped_slashes == PathRules::EscapedSlashes::kReject) {
        return {{}, "the path has an escaped slash in it (%2F or %5C)"};
      }
      if (escaped_slash && rules.escaped_slashes == PathRules::EscapedSlashes::kUnescape) {
        slash = true;
      } else if (IsUnreserved(byte)) {
        c = static_cast<char>(byte);
      } else {
        writer.Put('%');
        writer.Put(kHex[high]);
        c = kHex[low];
      }
    }
    if (!slash) {
      writer.Put(c);
    } else if (!writer.EndSegment(true)) {
      return {{}, "the path has a dot segment with parameters in it (..;)"};
    }
  }
  if (!writer.EndSegment(false)) {
    return {{}, "the path has a dot segment with parameters in it (..;)"};
  }
  if (writer.size() == bare.size() && std::memcmp(out, bare.data(), bare.size()) == 0) {
    return {path};
  }
  char* const whole = memory.Allocate(writer.size() + query.size());
  std::memcpy(whole, out, writer.size());
  if (!query.empty()) std::memcpy(whole + writer.size(), query.data(), query.size());
  return {{whole, writer.size() + query.size()}};
}

}  // namespace countersign::http
