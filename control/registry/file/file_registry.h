#ifndef COUNTERSIGN_CONTROL_REGISTRY_FILE_FILE_REGISTRY_H_
#define COUNTERSIGN_CONTROL_REGISTRY_FILE_FILE_REGISTRY_H_

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "control/registry/file/config_folder.h"
#include "control/registry/source.h"

namespace prometheus {
class Registry;
template <typename T>
class Family;
class Counter;
class Gauge;
}  // namespace prometheus

namespace countersign::control::registry {

// Watches a folder and keeps its Model in force. Changes are noticed by inotify and, for whatever
// inotify cannot see (the target of a symbolic link, a network file system), by looking again every
// `rescan`.
//
// Threads: one of its own, between Start and Stop; every listener runs on it. Errors are logged
// once, when they appear, counted in countersign_control_config_errors{file}, and kept for Errors.
class FileRegistry final : public RegistrySource {
 public:
  struct Options {
    std::string directory;
    // A folder of this program's own (below the state folder) for what is in force, so that a
    // restart while a file is bad loses nothing; empty: nothing is kept.
    std::string last_good_directory = {};
    // Editors write, truncate and rename in bursts: quiet for this long, but at most `max_settle`.
    std::chrono::milliseconds settle{50};
    std::chrono::milliseconds max_settle{250};
    // A file that somebody holds open for writing is waited for at most this long.
    std::chrono::milliseconds max_open{1000};
    std::chrono::milliseconds rescan{2000};
    ConfigFolder::Limits limits{};
  };

  // `metrics` outlives the registry.
  FileRegistry(Options options, prometheus::Registry& metrics);
  ~FileRegistry() override;

  // Reads the folder once (so that Current and Errors speak of it when this returns), then watches.
  // Fails if the folder cannot be read; a bad file in it is no failure.
  absl::Status Start();
  void Stop();

  std::shared_ptr<const Model> Current() const override;
  std::vector<ConfigError> Errors() const override;
  void Subscribe(Listener listener) override;

 private:
  class Watch;

  void Run();
  // Scans and tells everybody; `noticed_at` is when the first sign of a change was seen.
  void Scan(absl::Time noticed_at);
  void ReportErrors();

  const Options options_;
  ConfigFolder folder_;  // the thread's once it runs
  std::unique_ptr<Watch> watch_;
  std::vector<Listener> listeners_;

  prometheus::Family<prometheus::Gauge>& errors_family_;
  prometheus::Gauge& version_gauge_;
  prometheus::Gauge& last_good_gauge_;
  prometheus::Counter& accepted_counter_;
  prometheus::Counter& refused_counter_;
  std::map<std::string, prometheus::Gauge*> error_gauges_;
  std::vector<std::string> reported_;

  mutable std::mutex mutex_;  // guards the two below
  std::shared_ptr<const Model> current_;
  std::vector<ConfigError> errors_;

  std::thread thread_;
};

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_FILE_FILE_REGISTRY_H_
