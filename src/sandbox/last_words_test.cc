// Goal: what a start printed last is kept within its bound, whatever it prints. Method: lines around the bound.
#include "sandbox/last_words.h"

#include <gtest/gtest.h>

namespace ebb::sandbox {
namespace {

TEST(LastWords, TheNewestLinesStay) {
  LastWords words;
  words.add({"first", ""});
  words.add({"last"});
  EXPECT_EQ(words.text("it ended"), "first\n\nlast\n");
  for (int number = 0; number < 10'000; ++number) words.add({"line " + std::to_string(number)});
  const std::string text = words.text("it ended");
  EXPECT_LE(text.size(), limits::kLastWordsBytes);
  EXPECT_GT(text.size(), limits::kLastWordsBytes - 16);
  EXPECT_TRUE(text.starts_with("line ")) << "whole lines only";
  EXPECT_TRUE(text.ends_with("line 9998\nline 9999\n"));
}

TEST(LastWords, ALineLongerThanAllIsCut) {
  LastWords words;
  words.add({"before"});
  words.add({std::string(3 * limits::kLastWordsBytes, 'x')});
  EXPECT_EQ(words.text(""), std::string(limits::kLastWordsBytes - 1, 'x') + "\n");
}

TEST(LastWords, WhatTheErrorSaysIsNotSaidAgain) {
  LastWords words;
  words.add({"no table name", "ProgramEnded: it ended"});
  EXPECT_EQ(words.text("init of a/f failed: ProgramEnded: it ended"), "no table name\n");
  EXPECT_EQ(words.text("something else"), "no table name\nProgramEnded: it ended\n");
}

TEST(LastWords, AStartThatCameThroughHasNone) {
  LastWords words;
  words.add({"listening"});
  words.forget();
  words.add({"a request"});
  EXPECT_EQ(words.text(""), "");
}

}  // namespace
}  // namespace ebb::sandbox
