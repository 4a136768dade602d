#include "proxy/router/reasons.h"

#include <fstream>
#include <sstream>

#include "gtest/gtest.h"

namespace countersign::router {
namespace {

TEST(ReasonsTest, TheReferenceIsWhatTheTablesSay) {
  std::ifstream file("proxy/router/REASONS.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), RenderReasons())
      << "bazel run //proxy/router:reasons_reference > proxy/router/REASONS.md";
}

}  // namespace
}  // namespace countersign::router
