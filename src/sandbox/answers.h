// What the daemon holds of functions' answers.
//
// An answer in one frame is gathered before its head goes out, and stays while its client takes it. To send one an
// instance needs no memory of its own, and one that serves many calls at a time sends as many at once: without a bound
// it would fill the daemon's memory at the cost of a loop.
// Whose app is full is to blame for it, and is told so: its handler returned more than it may (kTooLarge).
#pragma once

#include "base/limits.h"
#include "base/limits_held.h"
#include "sandbox/holdings.h"

namespace ebb::sandbox {

inline constexpr HoldingBounds kAnswerBounds{.free_bytes = limits::kAnswerFreeBytes,
                                             .app_bytes = limits::kAnswerBytesPerApp,
                                             .node_bytes = limits::kAnswerBytesPerNode,
                                             .largest_bytes = limits::kHttpBodyBytes + limits::kFrameMetaBytes,
                                             .app_full = base::Code::kTooLarge,
                                             .before = "app ",
                                             .what = "answers",
                                             .remedy = ", until their clients have taken them: stream long answers"};

using AnswersOfApp = HeldOfApp;
using HeldAnswer = Held;

}  // namespace ebb::sandbox
