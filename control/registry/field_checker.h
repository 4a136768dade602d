#ifndef COUNTERSIGN_CONTROL_REGISTRY_FIELD_CHECKER_H_
#define COUNTERSIGN_CONTROL_REGISTRY_FIELD_CHECKER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/map.h"

namespace countersign::control::registry {

struct FieldError {
  std::string field;  // `spec.addresses[0]`
  std::string reason;
};

// Collects what is wrong with one resource, under the paths of its fields, and knows the shapes
// that many kinds have in common.
class FieldChecker {
 public:
  void Fail(std::string field, std::string reason) {
    errors_.push_back({std::move(field), std::move(reason)});
  }
  std::vector<FieldError> Take() { return std::move(errors_); }

  void Labels(const google::protobuf::Map<std::string, std::string>& labels,
              const std::string& field);
  void Port(uint32_t port, const std::string& field);
  // `TCP`, `UDP`, `SCTP` or nothing.
  void Transport(const std::string& protocol, const std::string& field);
  // `region/zone/subzone`, from the left; or nothing.
  void Locality(const std::string& locality, const std::string& field);
  void DnsName(const std::string& name, const std::string& field);
  // `a.example`, or `*.a.example`.
  void Hostname(const std::string& name, const std::string& field);
  void Duration(const google::protobuf::Duration& value, const std::string& field,
                absl::Duration min, absl::Duration max);
  void Range(uint64_t value, const std::string& field, uint64_t min, uint64_t max);
  void Percent(double value, const std::string& field);
  // An expression of RE2 within the proxies' limits.
  void Regex(const std::string& text, const std::string& field);
  // A name that may be matched on.
  void HeaderName(const std::string& name, const std::string& field);
  // A name that may be changed.
  void ChangedHeader(const std::string& name, const std::string& field);
  void HeaderValue(const std::string& value, const std::string& field);
  void Path(const std::string& path, const std::string& field);

 private:
  std::vector<FieldError> errors_;
};

// RFC 1123 as Kubernetes applies it: labels of [a-z0-9-], joined by dots where `dots`.
bool IsDnsName(absl::string_view name, size_t max, bool dots);
// The part of a label's key after `prefix/`, or a value: [A-Za-z0-9._-], alphanumeric at both ends.
bool IsLabelText(absl::string_view text);

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_FIELD_CHECKER_H_
