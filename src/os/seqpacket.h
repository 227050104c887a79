// Messages with descriptors over Unix seqpacket sockets: the kernel keeps boundaries, one call is one message.
//
// 1. No call ever blocks. 2. Descriptors arrive close-on-exec and owned. 3. A message whose control data did not fit is
// an error, and everything that came with it is closed. 4. The sender's pid is the kernel's word, not the sender's.
// Used by daemon and launcher to talk to each other, and by the launcher to talk to sandboxes.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::os {

struct Received {
  std::string bytes;      // empty: the peer closed its end
  std::vector<Fd> fds;    // in the order sent, at most limits::kWireFds
  bool fds_lost = false;  // some did not fit into our table of descriptors: none are given
  pid_t pid = 0;          // the sender in our pid namespace; 0 unless the socket was given to receive_credentials
  Fd pidfd;               // of the sender, where the kernel passes one (Linux 6.5)
};

/// Two connected ends, close-on-exec.
base::Result<std::pair<Fd, Fd>> seqpacket_pair();

/// From now on every message received on `socket` carries its sender's pid. Call before the peer can send.
base::Result<> receive_credentials(const Fd& socket);

/// Sends one message. The descriptors stay the caller's.
/// Errors: kUnavailable with EAGAIN when the socket is full, with EPIPE or ECONNRESET when the peer is
/// gone.
base::Result<> send_message(const Fd& socket, std::string_view bytes, std::span<const int> fds = {});

/// Receives one message, nullopt when there is none at the moment.
/// Errors: kInvalidArgument for a message that is too long, has too many descriptors, or is empty but has some.
base::Result<std::optional<Received>> recv_message(const Fd& socket);

}  // namespace ebb::os
