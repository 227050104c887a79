#include "http/send_now.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>

namespace ebb::http {

namespace {

constexpr std::size_t kPartsAtOnce = 4;

}  // namespace

std::size_t send_now(int socket, std::span<boost::asio::const_buffer> parts) {
  std::array<iovec, kPartsAtOnce> vectors{};
  std::size_t count = 0;
  for (const boost::asio::const_buffer& part : parts) {
    if (part.size() == 0) continue;
    if (count == vectors.size()) break;
    vectors[count++] = {.iov_base = const_cast<void*>(part.data()), .iov_len = part.size()};
  }
  if (count == 0) return 0;
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = count;
  const ssize_t sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent <= 0) return 0;
  std::size_t left = static_cast<std::size_t>(sent);
  for (boost::asio::const_buffer& part : parts) {
    const std::size_t taken = std::min(left, part.size());
    part += taken;
    left -= taken;
  }
  return static_cast<std::size_t>(sent);
}

}  // namespace ebb::http
