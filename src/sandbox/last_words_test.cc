// Goal: what a start printed last is kept within its bound, whatever it prints. Method: lines around the bound.
#include "sandbox/last_words.h"

#include <gtest/gtest.h>

#include "sandbox/output_lines.h"

namespace ebb::sandbox {
namespace {

TEST(LastWords, TheNewestLinesStay) {
  LastWords words;
  words.add(LastWords::From::kOut, {"first", ""});
  words.add(LastWords::From::kOut, {"last"});
  EXPECT_EQ(words.text("it ended"), "first\n\nlast\n");
  for (int number = 0; number < 10'000; ++number) words.add(LastWords::From::kOut, {"line " + std::to_string(number)});
  const std::string text = words.text("it ended");
  EXPECT_LE(text.size(), limits::kLastWordsBytes);
  EXPECT_GT(text.size(), limits::kLastWordsBytes - 16);
  EXPECT_TRUE(text.starts_with("line ")) << "whole lines only";
  EXPECT_TRUE(text.ends_with("line 9998\nline 9999\n"));
}

TEST(LastWords, WhatIsFlushedLateLeavesRoomForTheTraceback) {
  LastWords words;
  words.add(LastWords::From::kErr, {"Traceback", "no table name"});
  for (int number = 0; number < 10'000; ++number) {
    words.add(LastWords::From::kOut, {"line " + std::to_string(number)});
  }
  const std::string text = words.text("it ended");
  EXPECT_TRUE(text.starts_with("Traceback\nno table name\nline ")) << text;
  EXPECT_TRUE(text.ends_with("line 9998\nline 9999\n"));
  EXPECT_LE(text.size(), limits::kLastWordsBytes);
  words.add(LastWords::From::kErr, {std::string(limits::kLastWordsBytes / 2, 'x')});
  EXPECT_TRUE(words.text("").starts_with("line 9")) << "half is for either";
}

TEST(LastWords, TheyAreTheLastOfAFloodToo) {
  LastWords words;
  OutputLines out;
  const std::string block = std::string(100, 'x') + "\n";
  for (std::size_t printed = 0; printed < 2 * limits::kLogBytesPerInvocation; printed += block.size()) out.add(block);
  words.add(LastWords::From::kOut, out.take());
  words.add(LastWords::From::kOut, out.take_rest());
  out.add("Traceback\nno table name");
  out.finish();
  EXPECT_TRUE(out.take().empty()) << "the log has had all that is kept of it";
  words.add(LastWords::From::kOut, out.take_rest());
  const std::string text = words.text("it ended");
  EXPECT_TRUE(text.ends_with(block + "Traceback\nno table name\n")) << text;
  EXPECT_TRUE(text.starts_with(block)) << "whole lines only";
  EXPECT_LE(text.size(), limits::kLastWordsBytes);
}

TEST(LastWords, OfWhatIsNotKeptOnlyTheEndIsHad) {
  OutputLines out;
  out.add(std::string(limits::kLogBytesPerInvocation - 3, 'x') + "\none two");
  EXPECT_EQ(out.take().back(), "on") << "what is kept ends with a line";
  for (int number = 0; number < 10'000; ++number) out.add("line " + std::to_string(number) + "\n");
  const std::vector<std::string> rest = out.take_rest();
  EXPECT_EQ(rest.back(), "line 9999");
  EXPECT_TRUE(rest.front().starts_with("line 9"));
  EXPECT_LE(rest.size() * std::string_view("line 9999\n").size(), limits::kLastWordsBytes);
  out.add(std::string(3 * limits::kLastWordsBytes, 'y'));
  EXPECT_TRUE(out.take_rest().empty()) << "no whole line yet";
  out.finish();
  EXPECT_EQ(out.take_rest(), std::vector<std::string>{std::string(limits::kLastWordsBytes, 'y')});
}

TEST(LastWords, ALineLongerThanAllIsCut) {
  LastWords words;
  words.add(LastWords::From::kOut, {"before"});
  words.add(LastWords::From::kOut, {std::string(3 * limits::kLastWordsBytes, 'x')});
  EXPECT_EQ(words.text(""), std::string(limits::kLastWordsBytes - 1, 'x') + "\n");
}

TEST(LastWords, WhatTheErrorSaysIsNotSaidAgain) {
  LastWords words;
  words.add(LastWords::From::kOut, {"no table name", "ProgramEnded: it ended"});
  EXPECT_EQ(words.text("init of a/f failed: ProgramEnded: it ended"), "no table name\n");
  EXPECT_EQ(words.text("something else"), "no table name\nProgramEnded: it ended\n");
}

TEST(LastWords, AStartThatCameThroughHasNone) {
  LastWords words;
  words.add(LastWords::From::kOut, {"listening"});
  words.forget();
  words.add(LastWords::From::kOut, {"a request"});
  EXPECT_EQ(words.text(""), "");
}

}  // namespace
}  // namespace ebb::sandbox
