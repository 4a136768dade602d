#ifndef COUNTERSIGN_PROXY_CONFIG_FIELD_CHECK_H_
#define COUNTERSIGN_PROXY_CONFIG_FIELD_CHECK_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "api/xds/percent.pb.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/wrappers.pb.h"
#include "re2/re2.h"

namespace countersign::config {

// Reads values of a resource within their limits, and keeps the first complaint. A translation goes
// on with whatever harmless value it was given instead, and asks once, at its end, whether all was
// well: the result is thrown away if it was not.
//
// Lifetime: one translation. Paths name fields, such as `route `web`.virtual_hosts[0].domains[1]`.
class FieldCheck {
 public:
  using Milliseconds = std::chrono::milliseconds;

  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

  void Refuse(absl::string_view path, absl::string_view reason);
  // Takes over another check's or a callee's complaint.
  void Take(const absl::Status& status);

  // Whole milliseconds from `min` to `max`; a fraction below is cut off.
  Milliseconds Duration(const google::protobuf::Duration& in, absl::string_view path,
                        Milliseconds min, Milliseconds max);
  uint32_t Number(uint64_t value, absl::string_view path, uint64_t min, uint64_t max);
  // 0 to 100 per cent, in millionths.
  uint32_t PerMillion(const envoy::type::v3::Percent& in, absl::string_view path);
  uint32_t PerMillion(const envoy::type::v3::FractionalPercent& in, absl::string_view path);

  // Compiled, or null after a complaint. Text, program, memory of matching and the
  // number of different expressions of one resource are bounded.
  std::shared_ptr<const re2::RE2> Regex(const std::string& text, absl::string_view path);
  // Non-empty, at most `max` bytes.
  const std::string& Text(const std::string& text, absl::string_view path, size_t max = 1024);

 private:
  absl::Status status_;
  // By text: virtual hosts often repeat each other's routes.
  std::map<std::string, std::shared_ptr<const re2::RE2>> regexes_;
};

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_FIELD_CHECK_H_
