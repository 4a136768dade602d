// The kinds of resources that the control plane reads, whichever registry they come from.
#ifndef COUNTERSIGN_CONTROL_REGISTRY_KIND_H_
#define COUNTERSIGN_CONTROL_REGISTRY_KIND_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "api/mesh/v1alpha1/core.pb.h"
#include "google/protobuf/message.h"

namespace countersign::control::registry {

// Policies in this namespace without a selector cover the whole mesh.
inline constexpr char kRootNamespace[] = "countersign-system";

enum class Kind : uint8_t {
  kMesh,
  kPeerAuthentication,
  kExternalWorkload,
  kService,
  kTrafficPolicy,
  kHttpRoute,
  kGrpcRoute,
  kReferenceGrant,
};

struct KindInfo {
  Kind kind;
  const char* name;                       // `PeerAuthentication`
  const char* api_version;                // `countersign.dev/v1alpha1`
  const char* other_api_version;          // another under which it is the same; or null
  const google::protobuf::Message* spec;  // the default instance
  bool root_namespace_only;               // there is one for the mesh
};

// Null for a kind that we do not have. `api_version` tells Kubernetes' Service from others' kinds.
const KindInfo* FindKind(absl::string_view api_version, absl::string_view name);
const KindInfo& InfoOf(Kind kind);
// `PeerAuthentication (countersign.dev/v1alpha1), ...`, for error messages.
std::string KnownKinds();

// Where a resource was written down. Lines and columns start at 1; 0 means unknown.
struct Location {
  std::string file;
  int line = 0;
  int column = 0;
};

// A resource as it was read: well-formed and checked by itself, not yet against the others.
struct Resource {
  Kind kind;
  mesh::v1alpha1::ObjectMeta metadata;  // namespace filled in
  std::shared_ptr<const google::protobuf::Message> spec;
  Location location;

  template <typename Spec>
  const Spec& spec_as() const {
    return static_cast<const Spec&>(*spec);
  }
  // `default/web`
  std::string Key() const;
};

// What is wrong with a configuration, for the person who wrote it.
struct ConfigError {
  Location location;
  std::string resource;  // `PeerAuthentication/default/strict`, empty before that is known
  std::string field;     // `spec.mtls.mode`, empty for the resource as a whole
  std::string reason;
  // The Model in force contains it all the same, with the consequence that `reason` tells.
  bool in_force = false;

  // `FILE:LINE:COLUMN: KIND/NAMESPACE/NAME: FIELD: REASON`. Control bytes, which a file may have
  // put into names, come out as `\x1b`: this goes into logs and terminals.
  std::string ToString() const;
};

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_KIND_H_
