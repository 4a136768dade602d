#include "proxy/server/process_stats.h"

#include <dirent.h>
#include <link.h>
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

void DropSetUpText() {
  dl_iterate_phdr(
      [](dl_phdr_info* object, size_t, void*) {
        const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
        for (int i = 0; i < object->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = object->dlpi_phdr[i];
          // Never a writable segment, even where it has been made read-only since (RELRO): its
          // relocated pages exist nowhere else.
          if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) {
            continue;
          }
          const uintptr_t begin = (object->dlpi_addr + segment.p_vaddr + page - 1) & ~(page - 1);
          const uintptr_t end =
              (object->dlpi_addr + segment.p_vaddr + segment.p_memsz) & ~(page - 1);
          if (begin < end) {
            madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
          }
        }
        return 0;
      },
      nullptr);
}

}  // namespace countersign::server
