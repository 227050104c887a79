// Sending without waiting: what most answers and requests need, for a socket's buffer usually has room for all of them.
//
// The kernel is asked directly. An asynchronous write would ask it the same way and then pass through the core's queue
// to say that it had not to wait, 1 us later.
// Called by Connection and Upstream before they write asynchronously what is left.
#pragma once

#include <boost/asio/buffer.hpp>
#include <cstddef>
#include <span>

namespace ebb::http {

/// Sends as much of the parts as the kernel takes at once, and takes that off their fronts. Gives how many bytes it
/// was: 0 when it took none, and for an error too, which the write that follows will meet again. Cost: a system call.
std::size_t send_now(int socket, std::span<boost::asio::const_buffer> parts);

}  // namespace ebb::http
