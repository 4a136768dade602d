#include "control/attest/join_token_store.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/state/state_dir.h"

namespace countersign::control::attest {
namespace {

constexpr size_t kTokenBytes = 32;
constexpr absl::Duration kKeepUsed = absl::Hours(24);

std::string FileName(absl::string_view token) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, token.data(), token.size());
  SHA256_Final(hash, &context);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(hash), sizeof(hash)));
}

struct Record {
  spiffe::SpiffeId id;
  absl::Time expires_at;
};

// A record is two lines: the SPIFFE ID, and the Unix time at which it expires.
absl::StatusOr<Record> ReadRecord(const std::string& path) {
  absl::StatusOr<std::string> content = state::ReadPrivateFile(path);
  if (!content.ok()) return content.status();
  const std::vector<absl::string_view> lines = absl::StrSplit(*content, '\n');
  Record record;
  int64_t expires_at = 0;
  if (lines.size() != 3 || !lines[2].empty() || !absl::SimpleAtoi(lines[1], &expires_at)) {
    return absl::InternalError(absl::StrCat(path, " is not a join token's record; remove it"));
  }
  absl::StatusOr<spiffe::SpiffeId> id = spiffe::SpiffeId::Parse(lines[0]);
  if (!id.ok()) return absl::InternalError(absl::StrCat(path, ": ", id.status().message()));
  record.id = *std::move(id);
  record.expires_at = absl::FromUnixSeconds(expires_at);
  return record;
}

bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<JoinTokenStore>> JoinTokenStore::Open(const std::string& state_dir) {
  const std::string dir = state_dir + "/tokens";
  absl::Status status = state::OpenPrivateDir(dir);
  if (status.ok()) status = state::OpenPrivateDir(dir + "/used");
  if (!status.ok()) return status;
  return std::unique_ptr<JoinTokenStore>(new JoinTokenStore(dir));
}

absl::StatusOr<std::string> JoinTokenStore::Create(const spiffe::SpiffeId& id,
                                                   absl::Time expires_at) {
  char random[kTokenBytes];
  if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(random), sizeof(random)) != 1) {
    return absl::InternalError("the random number generator failed");
  }
  std::string token = absl::WebSafeBase64Escape(absl::string_view(random, sizeof(random)));
  OPENSSL_cleanse(random, sizeof(random));
  const absl::Status status = state::WriteAtomically(
      absl::StrCat(dir_, "/", FileName(token)),
      absl::StrCat(id.ToString(), "\n", absl::ToUnixSeconds(expires_at), "\n"), 0600);
  if (!status.ok()) return status;
  return token;
}

absl::StatusOr<JoinTokenStore::Unused> JoinTokenStore::Look(absl::string_view token,
                                                            absl::Time now) const {
  std::string name = FileName(token);
  absl::StatusOr<Record> record = ReadRecord(absl::StrCat(dir_, "/", name));
  if (absl::IsNotFound(record.status())) {
    if (Exists(absl::StrCat(dir_, "/used/", name))) {
      return absl::AlreadyExistsError("the join token has been used");
    }
    return absl::NotFoundError("there is no such join token");
  }
  if (!record.ok()) return record.status();
  if (now >= record->expires_at) {
    return absl::DeadlineExceededError(
        absl::StrCat("the join token expired at ", absl::FormatTime(record->expires_at)));
  }
  return Unused{std::move(record->id), std::move(name)};
}

std::vector<absl::Status> JoinTokenStore::Consume(std::span<const std::string> names) {
  std::vector<absl::Status> statuses(names.size());
  bool renamed = false;
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::rename(absl::StrCat(dir_, "/", names[i]).c_str(),
                    absl::StrCat(dir_, "/used/", names[i]).c_str()) == 0) {
      renamed = true;
    } else if (errno == ENOENT) {
      statuses[i] = absl::AlreadyExistsError("the join token has been used");
    } else {
      statuses[i] = absl::InternalError(
          absl::StrCat("cannot mark a join token as used in ", dir_, ": ", std::strerror(errno)));
    }
  }
  if (!renamed) return statuses;
  const absl::Status synced = state::SyncDir(dir_);
  if (synced.ok()) return statuses;
  // Whether they stay used is unknown: nobody gets anything for them.
  for (absl::Status& status : statuses) status.Update(synced);
  return statuses;
}

int JoinTokenStore::Purge(absl::Time now) {
  int removed = 0;
  const auto sweep = [&](const std::string& folder, absl::Duration keep) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      if (!entry.is_regular_file(error)) continue;
      const absl::StatusOr<Record> record = ReadRecord(entry.path());
      if (record.ok() && now > record->expires_at + keep && unlink(entry.path().c_str()) == 0) {
        ++removed;
      }
    }
  };
  sweep(dir_, absl::ZeroDuration());
  sweep(dir_ + "/used", kKeepUsed);
  return removed;
}

}  // namespace countersign::control::attest
