// Revocations in the state folder, for the standalone control plane.
#ifndef COUNTERSIGN_CONTROL_IDENTITY_DENY_LIST_FILE_H_
#define COUNTERSIGN_CONTROL_IDENTITY_DENY_LIST_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "control/identity/deny_list_source.h"

namespace countersign::control::identity {

// A line an entry: `id SPIFFE-ID`, or `serial ISSUER SERIAL`, both hexadecimal. Taken whole or not
// at all. Poll() costs one stat while nothing changes.
class DenyListFile : public DenyListSource {
 public:
  explicit DenyListFile(const std::string& state_dir) : path_(state_dir + "/deny-list") {}

  absl::StatusOr<std::shared_ptr<const spiffe::DenyList>> Poll() override;

  // Add or remove one; atomic, and seen by a running server. NotFound when there is nothing to
  // remove. Not for two processes at once.
  absl::Status Add(const spiffe::SpiffeId& id);
  // `certificate_pem`: one certificate, of which issuer and serial are denied.
  absl::Status AddCertificate(absl::string_view certificate_pem);
  absl::Status Remove(const spiffe::SpiffeId& id);

 private:
  absl::Status AddLine(const std::string& line);
  absl::StatusOr<std::string> Read() const;

  const std::string path_;
  std::string stamp_;
};

}  // namespace countersign::control::identity

#endif  // COUNTERSIGN_CONTROL_IDENTITY_DENY_LIST_FILE_H_
