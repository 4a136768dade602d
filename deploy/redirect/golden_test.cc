// Command lines and the exact rules that they make: testdata/NAME.args -> NAME.nft.golden and
// NAME.iptables.golden. To accept a change, run the test's binary with COUNTERSIGN_UPDATE_GOLDEN
// set to the absolute path of the testdata folder.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "deploy/redirect/iptables_rules.h"
#include "deploy/redirect/nft_rules.h"
#include "deploy/redirect/redirect_flags.h"

namespace countersign::redirect {
namespace {

std::string Folder() {
  const char* update = std::getenv("COUNTERSIGN_UPDATE_GOLDEN");
  return update != nullptr ? update : "deploy/redirect/testdata";
}

std::string Read(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> Cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(Folder())) {
    if (entry.path().extension() == ".args") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void ExpectGolden(const std::string& path, const std::string& actual) {
  if (std::getenv("COUNTERSIGN_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << actual;
    return;
  }
  EXPECT_EQ(Read(path), actual) << path
                                << " differs; the top of golden_test.cc says how to accept it";
}

class GoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, FlagsMakeExactlyTheseRules) {
  const std::string base = Folder() + "/" + GetParam();
  CLI::App app;
  RedirectFlags flags;
  AddFlags(&app, &flags);
  app.parse(Read(base + ".args"), /*program_name_included=*/false);
  const absl::StatusOr<Options> options = ParseOptions(flags.rules);
  ASSERT_TRUE(options.ok()) << options.status();

  ExpectGolden(base + ".nft.golden", NftRules(*options, {Family::kIpv4, Family::kIpv6}));
  ExpectGolden(base + ".iptables.golden",
               "# iptables-restore --noflush\n" + IptablesRules(*options, Family::kIpv4, {}) +
                   "# ip6tables-restore --noflush\n" + IptablesRules(*options, Family::kIpv6, {}));
}

INSTANTIATE_TEST_SUITE_P(Testdata, GoldenTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace countersign::redirect
