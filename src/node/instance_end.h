// How an instance ended, in words for the caller and for its author.
// Called by Invocation for a call that was in it, by VersionRunner for a start that did not get ready.
#pragma once

#include <chrono>
#include <string>

#include "model/version.h"
#include "wire/launcher_protocol.h"

namespace ebb::node {

/// From the end of its channel to the launcher's word on why.
inline constexpr std::chrono::seconds kExitReport{1};

/// Below its own limit the kernel ended it for the node's, which is for all functions together.
bool ended_for_the_node(const wire::Exited& exit, const model::Version& version);

/// Begins with the function's name.
std::string how_it_ended(const wire::Exited& exit, const model::Version& version);

}  // namespace ebb::node
