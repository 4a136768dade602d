#include "proxy/server/process_stats.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>

namespace countersign::server {
namespace {

constexpr size_t kWorthTrimming = 512 * 1024;

}  // namespace

uint64_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) {
    return 0;
  }
  unsigned long long size = 0;
  unsigned long long resident = 0;
  const int fields = std::fscanf(file, "%llu %llu", &size, &resident);
  std::fclose(file);
  return fields == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

uint64_t OpenFileDescriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) {
    return 0;
  }
  uint64_t count = 0;
  while (const dirent* entry = readdir(directory)) {
    count += entry->d_name[0] != '.' ? 1 : 0;
  }
  closedir(directory);
  return count - 1;  // the directory's own
}

void TrimHeap() {
  if (mallinfo2().fordblks > kWorthTrimming) {
    malloc_trim(0);
  }
}

void DropStartUpText() {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) {
    return;
  }
  char line[512];
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    unsigned long long begin = 0;
    unsigned long long end = 0;
    unsigned long long inode = 0;
    char mode[5] = {};
    if (std::sscanf(line, "%llx-%llx %4s %*x %*s %llu", &begin, &end, mode, &inode) == 4 &&
        inode != 0 && mode[1] == '-') {
      // Read-only file mappings: nothing is lost, whatever is dropped is read again on demand.
      madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
  }
  std::fclose(maps);
}

}  // namespace countersign::server
