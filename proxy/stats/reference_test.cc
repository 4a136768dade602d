#include "proxy/stats/reference.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "proxy/stats/families.h"

namespace countersign::stats {
namespace {

std::string ReadFile(const char* path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ReferenceTest, MetricsPageIsWhatTheFamiliesSay) {
  EXPECT_EQ(ReadFile("proxy/stats/METRICS.md"), RenderReference())
      << "bazel run //proxy/stats:metrics_reference > proxy/stats/METRICS.md";
}

TEST(ReferenceTest, EveryDeclaredFamilyIsListedOnce) {
  const std::string source = ReadFile("proxy/stats/families.h");
  size_t declared = 0;
  const char* needle = "inline constexpr Family k";
  for (size_t at = source.find(needle); at != std::string::npos;
       at = source.find(needle, at + std::strlen(needle))) {
    ++declared;
  }
  std::set<std::string> names;
  for (const Family* family : kFamilies) {
    EXPECT_TRUE(names.insert(family->name).second) << family->name << " stands twice";
  }
  EXPECT_EQ(declared, names.size()) << "a family is missing from kFamilies";
}

TEST(ReferenceTest, NamesFollowPrometheusConventions) {
  for (const Family* family : kFamilies) {
    const std::string name = family->name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string::npos);
    EXPECT_EQ(family->type == Type::kCounter, name.ends_with("_total")) << name;
  }
}

}  // namespace
}  // namespace countersign::stats
