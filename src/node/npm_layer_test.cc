// What of .npmrc the daemon reads: which variables it names. Method: the text.
#include "node/npm_layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits_npm.h"

namespace ebb::node {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Npmrc, NamesEachVariableOnce) {
  const auto names = npmrc_variables("//a/:_authToken=${NPM_TOKEN}\n//b/:_auth=${B_2}\n//c/:_authToken=${NPM_TOKEN}");
  ASSERT_TRUE(names);
  EXPECT_THAT(*names, ElementsAre("NPM_TOKEN", "B_2"));
}

TEST(Npmrc, WhatIsNoNameIsNone) {
  for (const char* text : {"", "$", "${", "${}", "${A", "${a}", "${A-B}", "${2A}", "${_A}", "$A", "{A}", "${${"}) {
    const auto names = npmrc_variables(text);
    ASSERT_TRUE(names) << text;
    EXPECT_THAT(*names, IsEmpty()) << text;
  }
}

TEST(Npmrc, NamesAreBounded) {
  std::string text;
  for (std::size_t i = 0; i < limits::kNpmrcVariables; ++i) text += "${T" + std::to_string(i) + "}";
  EXPECT_TRUE(npmrc_variables(text));
  EXPECT_FALSE(npmrc_variables(text + "${MORE}"));
}

TEST(Npmrc, AVariableIsASecretOfTheApp) {
  EXPECT_EQ(npmrc_secret("NPM_TOKEN_2"), "npm-token-2");
  EXPECT_EQ(npmrc_entry("NPM_TOKEN", "a=b"), "EBB_NPMRC_NPM_TOKEN=a=b");
}

}  // namespace
}  // namespace ebb::node
