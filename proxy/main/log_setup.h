// Where log lines go and how they look.
#ifndef COUNTERSIGN_PROXY_MAIN_LOG_SETUP_H_
#define COUNTERSIGN_PROXY_MAIN_LOG_SETUP_H_

#include <string>

namespace countersign::main {

// `level` is one of the log-level flag's. One line an event on standard error; JSON lines have
// time, level and message.
void SetUpLogging(const std::string& level, bool json);

}  // namespace countersign::main

#endif  // COUNTERSIGN_PROXY_MAIN_LOG_SETUP_H_
