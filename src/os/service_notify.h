// Telling the service supervisor (systemd, Type=notify) how this service is: one datagram to the socket that
// $NOTIFY_SOCKET names. Nothing happens where there is no supervisor.
// Source: sd_notify(3), which promises the protocol to be stable.
#pragma once

#include <string_view>

#include "base/result.h"

namespace ebb::os {

/// Sends assignments separated by new lines, such as "READY=1". Does not block.
/// Errors: the supervisor named a socket that cannot be reached.
base::Result<> notify_service(std::string_view state);

}  // namespace ebb::os
