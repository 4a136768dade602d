#ifndef COUNTERSIGN_PROXY_XDS_UNPACK_H_
#define COUNTERSIGN_PROXY_XDS_UNPACK_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/any.pb.h"

namespace countersign::xds {

// What a resource contains. `what` names it in the error.
template <typename Message>
absl::Status Unpack(const google::protobuf::Any& any, const std::string& what, Message* message) {
  if (!any.Is<Message>() || !any.UnpackTo(message)) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": is no ", Message::descriptor()->full_name()));
  }
  return absl::OkStatus();
}

}  // namespace countersign::xds

#endif  // COUNTERSIGN_PROXY_XDS_UNPACK_H_
