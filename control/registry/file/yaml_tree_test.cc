#include "control/registry/file/yaml_tree.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::control::registry {
namespace {

using ::testing::HasSubstr;

std::string WhyRefused(const std::string& text, const YamlLimits& limits = {}) {
  std::vector<YamlNode> documents;
  YamlError error;
  if (ParseYaml(text, limits, &documents, &error)) {
    return "";
  }
  EXPECT_TRUE(documents.empty());
  return absl::StrCat(error.line, ":", error.column, ": ", error.reason);
}

TEST(YamlTreeTest, KeepsPositionsAndQuoting) {
  std::vector<YamlNode> documents;
  YamlError error;
  ASSERT_TRUE(ParseYaml("a: 1\nb:\n  - x\n  - \"2\"\n---\n---\nc: ~\n", {}, &documents, &error));
  ASSERT_EQ(documents.size(), 2);
  const YamlNode& b = *documents[0].Find("b");
  EXPECT_EQ(b.type, YamlNode::Type::kSequence);
  EXPECT_EQ(b.children[0].line, 3);
  EXPECT_EQ(b.children[0].column, 5);
  EXPECT_FALSE(b.children[0].quoted);
  EXPECT_TRUE(b.children[1].quoted);
  EXPECT_EQ(documents[0].keys[1].line, 2);
  EXPECT_EQ(documents[1].Find("c")->type, YamlNode::Type::kNull);
  EXPECT_EQ(documents[0].Find("none"), nullptr);
}

TEST(YamlTreeTest, AliasBombsAreRefusedUnexpanded) {
  std::string bomb = "a: &a [x, x]\n";
  for (char c = 'b'; c < 'z'; ++c) {
    absl::StrAppend(&bomb, std::string(1, c), ": &", std::string(1, c), " [*",
                    std::string(1, c - 1), ", *", std::string(1, c - 1), "]\n");
  }
  EXPECT_THAT(WhyRefused(bomb), HasSubstr("1:4: is no valid YAML: anchors"));
  EXPECT_THAT(WhyRefused("a: *nobody\n"), HasSubstr("is no valid YAML"));
}

TEST(YamlTreeTest, DepthSizeNodesAndDocumentsAreBounded) {
  EXPECT_THAT(WhyRefused(std::string(100, '[') + std::string(100, ']')),
              HasSubstr("nested deeper than 32 levels"));
  EXPECT_THAT(WhyRefused(std::string(500'000, '[')), HasSubstr("is no valid YAML"));
  EXPECT_THAT(WhyRefused(std::string((1 << 20) + 1, 'x')), HasSubstr("at most 1048576 are read"));
  std::string many = "[";
  for (int i = 0; i < 100'001; ++i) {
    many += "1,";
  }
  EXPECT_THAT(WhyRefused(many + "]"), HasSubstr("more than 100000 values"));
  std::string documents;
  for (int i = 0; i < 1001; ++i) {
    documents += "a: 1\n---\n";
  }
  EXPECT_THAT(WhyRefused(documents), HasSubstr("more than 1000 documents"));
}

TEST(YamlTreeTest, WhatMeansTwoThingsIsRefused) {
  EXPECT_THAT(WhyRefused("a: 1\na: 2\n"), HasSubstr("2:1: is no valid YAML: the key `a` stands"));
  std::string many;
  for (int i = 0; i < 100; ++i) {
    absl::StrAppend(&many, "k", i, ": 1\n");
  }
  EXPECT_EQ(WhyRefused(many), "");
  EXPECT_THAT(WhyRefused(many + "k7: 2\n"), HasSubstr("101:1: is no valid YAML: the key `k7`"));
  EXPECT_THAT(WhyRefused("a: !!binary aGk=\n"), HasSubstr("tags"));
  EXPECT_THAT(WhyRefused("a: !secret x\n"), HasSubstr("tags"));
  EXPECT_THAT(WhyRefused("? [a, b]\n: 1\n"), HasSubstr("a key must be a plain word"));
  EXPECT_THAT(WhyRefused("a: [1\n"), HasSubstr("is no valid YAML"));
  EXPECT_THAT(WhyRefused("a: b: c\n"), HasSubstr("is no valid YAML"));
}

TEST(YamlTreeTest, WhatIsNoYamlIsRefusedWhereItIs) {
  EXPECT_THAT(WhyRefused("a: 1\nb: [1, 2\nc: 3\n"),
              HasSubstr("3:2: is no valid YAML: while parsing a flow sequence in line 2, "));
  EXPECT_THAT(WhyRefused("a:\n\t- b\n"), HasSubstr("2:1: is no valid YAML: "));
  EXPECT_THAT(WhyRefused("a: 1\nhalf-writ"), HasSubstr("could not find expected ':'"));
  EXPECT_THAT(WhyRefused("a: [::1]\n"), HasSubstr("1:5: is no valid YAML: "));
  EXPECT_EQ(WhyRefused("a: [\"::1\", fd00::1]\nb: ::1\n"), "");
  EXPECT_THAT(WhyRefused("a: b\nc: d\x01\n"),
              HasSubstr("2:5: is no valid YAML: control characters are not allowed"));
}

TEST(YamlTreeTest, TextMustBeUtf8WithoutNul) {
  EXPECT_EQ(WhyRefused("a: b\nc: \xff\n"), "2:4: is not UTF-8 text");
  EXPECT_EQ(WhyRefused(std::string("a: \0b", 5)), "1:4: is not UTF-8 text");
  EXPECT_EQ(WhyRefused("a: \xc0\x80"), "1:4: is not UTF-8 text");      // overlong
  EXPECT_EQ(WhyRefused("a: \xed\xa0\x80"), "1:4: is not UTF-8 text");  // a surrogate
  EXPECT_EQ(WhyRefused("a: \xe2\x82"), "1:4: is not UTF-8 text");      // cut off
  EXPECT_EQ(WhyRefused("a: \xe2\x82\xac \xf0\x9f\x98\x80\n"), "");
}

}  // namespace
}  // namespace countersign::control::registry
