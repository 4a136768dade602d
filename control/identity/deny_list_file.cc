#include "control/identity/deny_list_file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "api/spiffe/verifier.h"
#include "control/state/state_dir.h"

namespace countersign::control::identity {
namespace {

constexpr size_t kMaxEntries = 100'000;

bool IsHex(absl::string_view text) {
  return !text.empty() && text.size() % 2 == 0 &&
         text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

absl::Status AddEntry(absl::string_view line, spiffe::DenyList* list) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  if (words.size() == 2 && words[0] == "id") {
    absl::StatusOr<spiffe::SpiffeId> id = spiffe::SpiffeId::Parse(words[1]);
    if (!id.ok()) return id.status();
    list->AddId(*id);
    return absl::OkStatus();
  }
  if (words.size() == 3 && words[0] == "serial" && IsHex(words[1]) && IsHex(words[2])) {
    list->AddSerial(absl::HexStringToBytes(words[1]), absl::HexStringToBytes(words[2]));
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("it is neither `id SPIFFE-ID` nor `serial ISSUER SERIAL`");
}

// Differs whenever the file does; empty without a file.
std::string Stamp(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return {};
  return absl::StrCat(info.st_ino, ".", info.st_size, ".", info.st_mtim.tv_sec, ".",
                      info.st_mtim.tv_nsec, ".", info.st_ctim.tv_nsec);
}

}  // namespace

absl::StatusOr<std::string> DenyListFile::Read() const {
  absl::StatusOr<std::string> content = state::ReadPrivateFile(path_);
  if (absl::IsNotFound(content.status())) return std::string();
  return content;
}

absl::StatusOr<std::shared_ptr<const spiffe::DenyList>> DenyListFile::Poll() {
  std::string stamp = Stamp(path_);
  if (stamp == stamp_) return nullptr;
  stamp_ = std::move(stamp);
  absl::StatusOr<std::string> content = Read();
  if (!content.ok()) return content.status();
  // Epochs grow across restarts, too.
  auto list =
      std::make_shared<spiffe::DenyList>(static_cast<uint64_t>(absl::ToUnixMicros(absl::Now())));
  size_t number = 0;
  for (absl::string_view line : absl::StrSplit(*content, '\n')) {
    ++number;
    if (line.empty()) continue;
    if (number > kMaxEntries) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path_, " has more than ", kMaxEntries, " entries"));
    }
    const absl::Status status = AddEntry(line, list.get());
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ":", number, ": ", status.message(), "; the list before stays"));
    }
  }
  return std::shared_ptr<const spiffe::DenyList>(std::move(list));
}

absl::Status DenyListFile::AddLine(const std::string& line) {
  absl::StatusOr<std::string> content = Read();
  if (!content.ok()) return content.status();
  for (absl::string_view present : absl::StrSplit(*content, '\n')) {
    if (present == line) return absl::OkStatus();
  }
  return state::WriteAtomically(path_, absl::StrCat(*content, line, "\n"), 0600);
}

absl::Status DenyListFile::Add(const spiffe::SpiffeId& id) {
  return AddLine(absl::StrCat("id ", id.ToString()));
}

absl::Status DenyListFile::AddCertificate(absl::string_view certificate_pem) {
  spiffe::BioPtr bio(
      BIO_new_mem_buf(certificate_pem.data(), static_cast<int>(certificate_pem.size())));
  const spiffe::X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  spiffe::PeerSvid svid;
  const spiffe::VerifyError error = spiffe::ParseLeaf(certificate.get(), &svid);
  if (error != spiffe::VerifyError::kNone) {
    return absl::InvalidArgumentError(
        absl::StrCat("that is no X.509-SVID in PEM: ", spiffe::VerifyErrorSentence(error)));
  }
  return AddLine(absl::StrCat("serial ", absl::BytesToHexString(svid.issuer), " ",
                              absl::BytesToHexString(svid.serial)));
}

absl::Status DenyListFile::Remove(const spiffe::SpiffeId& id) {
  absl::StatusOr<std::string> content = Read();
  if (!content.ok()) return content.status();
  const std::string line = absl::StrCat("id ", id.ToString());
  std::string rest;
  bool found = false;
  for (absl::string_view present : absl::StrSplit(*content, '\n', absl::SkipEmpty())) {
    if (present == line) {
      found = true;
    } else {
      absl::StrAppend(&rest, present, "\n");
    }
  }
  if (!found) return absl::NotFoundError(absl::StrCat(id.ToString(), " is not on the deny list"));
  return state::WriteAtomically(path_, rest, 0600);
}

}  // namespace countersign::control::identity
