// Join tokens in the state folder: each good for one identity, once, for a limited time.
#ifndef COUNTERSIGN_CONTROL_ATTEST_JOIN_TOKEN_STORE_H_
#define COUNTERSIGN_CONTROL_ATTEST_JOIN_TOKEN_STORE_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "api/spiffe/spiffe_id.h"

namespace countersign::control::attest {

// One file a token, named by the token's SHA-256: who reads the folder learns no token. A token is
// used up by renaming its file into `used/`, which the kernel lets exactly one caller do, whatever
// the number of threads, processes and crashes. Processes share the folder: `token create` works
// beside a running server, which looks a token up when it is presented.
//
// What makes a token single-use is that its name is gone from `tokens/`, so that is what is synced,
// once for all that are used up together, before anybody is answered. A crash before the sync finds
// each token either unused, which is right, as nothing was signed for it, or used, which costs its
// owner another token. That the name in `used/` survives a loss of power, too, is true of a file
// system that journals both halves of a rename together (ext4, XFS); elsewhere the token is then
// refused as unknown instead of used.
//
// Thread-safe (stateless but for the path).
class JoinTokenStore {
 public:
  // Makes `tokens` and `tokens/used` in the state folder when they are missing.
  static absl::StatusOr<std::unique_ptr<JoinTokenStore>> Open(const std::string& state_dir);

  // A new token: 256 random bits, base64url.
  absl::StatusOr<std::string> Create(const spiffe::SpiffeId& id, absl::Time expires_at);

  struct Unused {
    spiffe::SpiffeId id;
    // For Consume(). Not the token, and no secret.
    std::string name;
  };
  // Errors: NotFound; AlreadyExists when it was used; DeadlineExceeded when it has expired;
  // Internal when the folder cannot be read.
  absl::StatusOr<Unused> Look(absl::string_view token, absl::Time now) const;

  // Uses up tokens that Look has found, by their names; on disk when this returns. One status a
  // name: AlreadyExists for whoever comes second, Internal when the disk fails.
  std::vector<absl::Status> Consume(std::span<const std::string> names);

  // Removes unused tokens that have expired, and used ones a day after their expiry. The number
  // removed.
  int Purge(absl::Time now);

 private:
  explicit JoinTokenStore(std::string dir) : dir_(std::move(dir)) {}

  const std::string dir_;
};

}  // namespace countersign::control::attest

#endif  // COUNTERSIGN_CONTROL_ATTEST_JOIN_TOKEN_STORE_H_
