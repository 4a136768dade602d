// Nothing that is not honoured is ever ignored.
#ifndef COUNTERSIGN_PROXY_CONFIG_STRICT_FIELDS_H_
#define COUNTERSIGN_PROXY_CONFIG_STRICT_FIELDS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/message.h"

namespace countersign::config {

// InvalidArgument, naming `path` and the field's number, if `message` or anything below it (Any
// excepted) carries a field that our protos do not declare: a field that this proxy does not
// honour.
absl::Status RefuseUnknownFields(const google::protobuf::Message& message, const std::string& path);

// Unpacks `any` into `message` and refuses its unknown fields; `path` names the Any.
template <typename Message>
absl::Status UnpackStrict(const google::protobuf::Any& any, const std::string& path,
                          Message* message) {
  if (!any.Is<Message>()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": `", any.type_url().substr(0, 256),
                                                   "` is not honoured; expected ",
                                                   Message::descriptor()->full_name()));
  }
  if (!any.UnpackTo(message)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is not what its type says"));
  }
  return RefuseUnknownFields(*message, path);
}

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_STRICT_FIELDS_H_
