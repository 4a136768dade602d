#ifndef COUNTERSIGN_PROXY_SERVER_GATHER_H_
#define COUNTERSIGN_PROXY_SERVER_GATHER_H_

#include <functional>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "proxy/event/dispatcher.h"
#include "proxy/server/worker.h"

namespace countersign::server {

using Workers = std::vector<std::unique_ptr<Worker>>;

// Asks every worker and puts their answers together. `ask(worker, answer)` has the worker call
// `answer` with its part, on its own thread; `done` runs on the dispatcher's thread, which is the
// caller's.
template <typename T, typename Ask>
void GatherFromWorkers(event::Dispatcher& dispatcher, const Workers& workers, Ask ask,
                       std::function<void(std::vector<T>)> done) {
  struct Gathering {
    size_t left;
    std::vector<T> all;
    std::function<void(std::vector<T>)> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->left = workers.size();
  gathering->done = std::move(done);
  for (const std::unique_ptr<Worker>& worker : workers) {
    ask(*worker, [&dispatcher, gathering](std::vector<T> part) {
      dispatcher.Post([gathering, part = std::move(part)]() mutable {
        std::move(part.begin(), part.end(), std::back_inserter(gathering->all));
        if (--gathering->left == 0) {
          gathering->done(std::move(gathering->all));
        }
      });
    });
  }
}

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_GATHER_H_
