#ifndef COUNTERSIGN_CONTROL_REGISTRY_FILE_CONFIG_FOLDER_H_
#define COUNTERSIGN_CONTROL_REGISTRY_FILE_CONFIG_FOLDER_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "control/registry/file/last_good.h"
#include "control/registry/file/yaml_tree.h"
#include "control/registry/kind.h"
#include "control/registry/model.h"

namespace countersign::control::registry {

// A folder of YAML files as a sequence of Models. Reads files, starts nothing.
//
// A file is taken whole or not at all: while it is bad, what it said when it was last good stays in
// force, across restarts too. Until every file has been good once there is no Model: with a policy
// missing the rest would say something else than what was written, and nothing is the safe answer.
//
// Not thread-safe.
class ConfigFolder {
 public:
  struct Limits {
    YamlLimits yaml;
    size_t max_files = 10'000;
  };

  // `last_good` is a folder of this program's own, in which it keeps what is in force for its next
  // start; empty: nothing is kept.
  ConfigFolder(std::string directory, std::string last_good, Limits limits);

  // Reads whatever has changed since the last call. True if a new Model is in force. `noticed_at`
  // becomes its changed_at.
  bool Scan(absl::Time noticed_at);

  // Null until there has been a valid one.
  const std::shared_ptr<const Model>& model() const { return model_; }
  // What is wrong now.
  const std::vector<ConfigError>& errors() const { return errors_; }
  // Whether the last Scan found anything different, be it good or bad.
  bool changed() const { return changed_; }
  const std::string& directory() const { return directory_; }

  // `web.yaml`, not `.web.yaml.swp`, `.#web.yaml` or `web.yaml~`.
  static bool IsConfigFile(const std::string& name);

 private:
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  using Resources = std::shared_ptr<const std::vector<Resource>>;
  struct File {
    Stamp stamp;
    Resources good;    // in force; null until there has been one
    Resources parsed;  // what it says now; null where that is bad by itself
    std::string text;  // of `parsed`, until it is in force
    std::vector<ConfigError> parse_errors;
    std::vector<ConfigError> verdict;  // contradictions with other files

    bool is_new() const { return parsed != nullptr && parsed != good; }
  };

  // A file that is not what it was, on its way into `files_`.
  struct News {
    const std::string* name = nullptr;
    File* file = nullptr;
    bool first = false;  // the file was not known
    Stamp stamp;
    std::string text;
    Resources parsed;
    std::vector<ConfigError> errors;
    Resources good;         // of `first`: what was in force before this process
    bool restored = false;  // there was something
  };

  std::string PathOf(const std::string& name) const { return directory_ + "/" + name; }
  static Stamp StampOf(const struct stat& st);
  absl::Status List(std::vector<std::string>* names) const;
  absl::Status ReadText(const std::string& path, Stamp* stamp, std::string* text) const;
  // False if there is nothing new in the file.
  bool Read(News* news) const;
  // Reads nothing but `news`, writes nothing else: many may be parsed at once.
  void Parse(News* news) const;
  // By as many threads as are worth it.
  void ParseAll(std::vector<News>* news) const;
  void Take(News* news);
  void Adopt(const std::string& name, File* file);
  // Judges all files together and puts what passes in force.
  bool Judge(absl::Time noticed_at);

  const std::string directory_;
  const Limits limits_;
  LastGood last_good_;
  std::map<std::string, File> files_;  // by name
  std::vector<ConfigError> folder_errors_;
  std::vector<ConfigError> verdict_;  // on what no single file is to blame for
  std::vector<ConfigError> errors_;
  std::shared_ptr<const Model> model_;
  uint64_t version_ = 0;
  bool changed_ = false;
  bool restored_ = false;   // there was a valid configuration before this process
  bool withdrawn_ = false;  // a file that was in force is gone, and no Model says so yet
};

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_FILE_CONFIG_FOLDER_H_
