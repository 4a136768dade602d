#include "proxy/config/strict_fields.h"

#include <vector>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/unknown_field_set.h"

namespace countersign::config {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

absl::Status RefuseUnknownFields(const Message& message, const std::string& path) {
  const Reflection& reflection = *message.GetReflection();
  const google::protobuf::UnknownFieldSet& unknown = reflection.GetUnknownFields(message);
  if (!unknown.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": field ", unknown.field(0).number(),
                                                   " of ", message.GetDescriptor()->full_name(),
                                                   " is not honoured by this proxy"));
  }
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      continue;
    }
    const std::string name = absl::StrCat(path, ".", field->name());
    if (!field->is_repeated()) {
      if (absl::Status status = RefuseUnknownFields(reflection.GetMessage(message, field), name);
          !status.ok()) {
        return status;
      }
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      if (absl::Status status = RefuseUnknownFields(
              reflection.GetRepeatedMessage(message, field, i), absl::StrCat(name, "[", i, "]"));
          !status.ok()) {
        return status;
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::config
