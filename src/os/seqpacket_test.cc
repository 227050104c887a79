// Goal: messages keep their boundaries and descriptors, and no descriptor leaks whatever the peer sends.
#include "os/seqpacket.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "base/limits.h"
#include "os/pidfd.h"

namespace ebb::os {
namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

TEST(Seqpacket, BoundariesAndDescriptorsSurvive) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  auto& [left, right] = *pair;
  int pipe_ends[2];
  ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
  const Fd reader(pipe_ends[0]);
  Fd writer(pipe_ends[1]);
  const int sent[] = {writer.get()};
  ASSERT_TRUE(send_message(left, "first", sent));
  ASSERT_TRUE(send_message(left, "second"));
  writer.reset();
  auto first = recv_message(right);
  ASSERT_TRUE(first && *first);
  EXPECT_EQ((*first)->bytes, "first");
  ASSERT_EQ((*first)->fds.size(), 1u);
  EXPECT_EQ(::fcntl((*first)->fds[0].get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  ASSERT_EQ(::write((*first)->fds[0].get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 1);
  auto second = recv_message(right);
  ASSERT_TRUE(second && *second);
  EXPECT_EQ((*second)->bytes, "second");
  auto none = recv_message(right);
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
  left.reset();
  auto closed = recv_message(right);
  ASSERT_TRUE(closed && *closed);
  EXPECT_TRUE((*closed)->bytes.empty());
}

TEST(Seqpacket, TooManyDescriptorsAreAnErrorAndAllClosed) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  constexpr std::size_t kMany = limits::kWireFds + 12;
  std::vector<int> fds(kMany, 0);
  std::vector<char> control(CMSG_SPACE(sizeof(int) * kMany));
  char byte = 'x';
  iovec part{.iov_base = &byte, .iov_len = 1};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* c = CMSG_FIRSTHDR(&header);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int) * kMany);
  std::memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * kMany);
  const std::size_t before = open_descriptors();
  ASSERT_EQ(::sendmsg(pair->first.get(), &header, 0), 1);
  const auto received = recv_message(pair->second);
  EXPECT_FALSE(received);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Seqpacket, WithoutAFreeDescriptorTheMessageComesAloneAndSaysSo) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  const std::array<int, 2> fds{0, 1};
  ASSERT_TRUE(send_message(pair->first, "hello", fds));
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const std::size_t before = open_descriptors();
  rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto received = recv_message(pair->second);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_TRUE(received && *received);
  EXPECT_EQ((*received)->bytes, "hello");
  EXPECT_TRUE((*received)->fds_lost);
  EXPECT_TRUE((*received)->fds.empty());
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Seqpacket, TooLongAMessageIsAnError) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  const std::string big(limits::kWireMessageBytes + 1, 'x');
  ASSERT_EQ(::send(pair->first.get(), big.data(), big.size(), 0), static_cast<ssize_t>(big.size()));
  EXPECT_FALSE(recv_message(pair->second));
  ASSERT_TRUE(send_message(pair->first, std::string_view(big).substr(1)));
  const auto fits = recv_message(pair->second);
  ASSERT_TRUE(fits && *fits);
  EXPECT_EQ((*fits)->bytes.size(), limits::kWireMessageBytes);
}

TEST(Seqpacket, AFullSocketAndAGonePeerAreUnavailableNotAWait) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  const std::string block(32 * 1024, 'x');
  base::Result<> sent;
  for (int i = 0; i < 1000 && sent; ++i) sent = send_message(pair->first, block);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().os_errno, EAGAIN);
  EXPECT_EQ(sent.error().code, base::Code::kUnavailable);
  pair->second.reset();
  const auto gone = send_message(pair->first, "x");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, base::Code::kUnavailable);
}

TEST(Seqpacket, TheSendersPidIsTheKernelsWord) {
  auto pair = seqpacket_pair();
  ASSERT_TRUE(pair);
  ASSERT_TRUE(receive_credentials(pair->first));
  const pid_t child = ::fork();
  if (child == 0) {
    static_cast<void>(send_message(pair->second, "born"));
    ::_exit(7);
  }
  const auto pidfd = open_pidfd(child);
  ASSERT_TRUE(pidfd);
  std::optional<int> status;
  while (!status) {
    const auto reaped = reap_child(*pidfd);
    ASSERT_TRUE(reaped);
    status = *reaped;
  }
  EXPECT_TRUE(has_ended(*pidfd));
  EXPECT_EQ(WEXITSTATUS(*status), 7);
  const auto received = recv_message(pair->first);
  ASSERT_TRUE(received && *received);
  EXPECT_EQ((*received)->pid, child);
  EXPECT_TRUE(signal_process(*pidfd, SIGKILL)) << "a process that is gone is no error";
}

}  // namespace
}  // namespace ebb::os
