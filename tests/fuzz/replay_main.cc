// Runs every file of the folders named on the command line through a fuzz target's entry point.
// A crash, a sanitizer's report or an empty corpus fails the run.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  size_t inputs = 0;
  for (int i = 1; i < argc; ++i) {
    std::error_code error;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i], error)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      if (!file) {
        std::fprintf(stderr, "cannot read %s\n", entry.path().c_str());
        return 1;
      }
      // A copy of the exact size, so that a read past its end is seen by the address sanitizer.
      const std::vector<char> bytes((std::istreambuf_iterator<char>(file)),
                                    std::istreambuf_iterator<char>());
      // Named first: a crash then says which input it was.
      std::fprintf(stderr, "%s (%zu bytes)\n", entry.path().filename().c_str(), bytes.size());
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
      ++inputs;
    }
  }
  if (inputs == 0) {
    std::fprintf(stderr, "the corpus is empty: add inputs to the target's folder `corpus`\n");
    return 1;
  }
  std::fprintf(stderr, "%zu inputs replayed\n", inputs);
  return 0;
}
