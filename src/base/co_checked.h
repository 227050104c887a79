// EBB_CO_CHECKED(check(...)); for Result<void>: EBB_CHECKED for coroutines. The expression must not await: await into a
// named local first. Called by coroutines that check several things before they wait.
#pragma once

#include "base/result.h"

#define EBB_CO_CHECKED(expression) \
  if (auto ebb_checked = (expression); !ebb_checked) co_return std::move(ebb_checked).error()
