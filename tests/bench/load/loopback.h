// Sockets of the load tools. They speak to 127.0.0.0/8 and to nothing else, whatever they are
// asked.
#ifndef COUNTERSIGN_TESTS_BENCH_LOAD_LOOPBACK_H_
#define COUNTERSIGN_TESTS_BENCH_LOAD_LOOPBACK_H_

#include <netinet/in.h>
#include <sys/types.h>

#include <cstddef>

namespace countersign::bench {

// Exits with a sentence when `host` is not in 127.0.0.0/8.
sockaddr_in LoopbackAddress(const char* host, int port);

// A listening, non-blocking socket; exits when it cannot be had.
int Listen(const sockaddr_in& address);

// The next accepted connection (non-blocking, TCP_NODELAY), or -1 when none waits.
int Accept(int listen_fd);

// A non-blocking, connected socket with TCP_NODELAY, or -1 with errno.
int Connect(const sockaddr_in& address);

// The same without waiting for the handshake: writable means done, SO_ERROR says how.
int StartConnect(const sockaddr_in& address);

// send(2) without SIGPIPE.
ssize_t Send(int fd, const void* data, size_t size);

}  // namespace countersign::bench

#endif  // COUNTERSIGN_TESTS_BENCH_LOAD_LOOPBACK_H_
