// For tests of the dispatcher: what it has ordered, of one kind.
#pragma once

#include <variant>
#include <vector>

#include "sched/dispatcher.h"

namespace ebb::sched {

/// The actions of that kind; all are gone from `actions` then.
template <typename T>
std::vector<T> drained(Actions& actions) {
  std::vector<T> found;
  for (const Action& action : actions) {
    if (const T* one = std::get_if<T>(&action)) found.push_back(*one);
  }
  actions.clear();
  return found;
}

}  // namespace ebb::sched
