// The folder in which the control plane keeps what must survive it: authorities and join tokens.
#ifndef COUNTERSIGN_CONTROL_STATE_STATE_DIR_H_
#define COUNTERSIGN_CONTROL_STATE_STATE_DIR_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::control::state {

// Creates the state folder (0755) when it is missing; refuses one of another owner, or one that
// others may write. Secrets go into private folders below it.
absl::Status OpenStateDir(const std::string& path);

// Creates a folder with mode 0700 when it is missing; refuses one of another owner, or one that
// others may enter. Errors say which mode or owner was found and what to do.
absl::Status OpenPrivateDir(const std::string& path);

// Replaces `path` as a whole: a temporary file beside it, fsync, rename, fsync of the folder. After
// a crash there is the old content or the new one, never a part.
absl::Status WriteAtomically(const std::string& path, absl::string_view content, mode_t mode);

// The content of a file that only its owner may read; refuses any other owner or mode. NotFound
// when there is none.
absl::StatusOr<std::string> ReadPrivateFile(const std::string& path);

absl::Status SyncDir(const std::string& path);

// Takes the folder for this process, until it ends: two control planes on one folder would issue
// from two states. Error: FailedPrecondition when another process holds it.
absl::Status LockStateDir(const std::string& path);

}  // namespace countersign::control::state

#endif  // COUNTERSIGN_CONTROL_STATE_STATE_DIR_H_
