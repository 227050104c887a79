// What a hostile peer can put on a control socket: any bytes, too long ones, descriptors in any number. Nothing leaks.
//
// The first byte says how many descriptors go along, the second in how many messages the rest is sent.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "os/seqpacket.h"
#include "wire/message.h"

namespace {

// The number that the next descriptor gets: the same before and after when none was leaked or closed too often.
int next_descriptor() {
  const int fd = ::dup(0);
  ::close(fd);
  return fd;
}

void send_hostile(int socket, std::string_view bytes, std::size_t count) {
  iovec part{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 64)> control{};
  if (count > 0) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * count);
    const int zero = 0;
    for (std::size_t i = 0; i < count; ++i) std::memcpy(CMSG_DATA(c) + i * sizeof zero, &zero, sizeof zero);
  }
  [[maybe_unused]] const auto sent = ::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const int before = next_descriptor();
  {
    auto ends = ebb::os::seqpacket_pair();
    EBB_CHECK(ends);
    EBB_CHECK(ebb::os::receive_credentials(ends->first));
    const std::size_t messages = 1 + data[1] % 8;
    std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
    for (std::size_t i = 0; i < messages; ++i) {
      const std::size_t part = rest.size() / (messages - i);
      send_hostile(ends->second.get(), rest.substr(0, part), (data[0] + i) % 65);
      rest.remove_prefix(part);
    }
    ends->second.reset();
    for (std::size_t i = 0; i <= messages; ++i) {
      const auto received = ebb::os::recv_message(ends->first);
      if (!received) continue;
      if (!*received || (*received)->bytes.empty()) break;
      EBB_CHECK((*received)->pid == ::getpid());
      if (const auto message = ebb::wire::decode_message((*received)->bytes)) {
        EBB_CHECK(ebb::wire::encode(*message) == (*received)->bytes);
      }
    }
  }
  EBB_CHECK(next_descriptor() == before);
  return 0;
}
