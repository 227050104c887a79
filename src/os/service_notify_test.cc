// notify_service: what a supervisor reads from its datagram socket, with a path and with an abstract name.
#include "os/service_notify.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "os/fd.h"

namespace ebb::os {
namespace {

class ServiceNotify : public testing::Test {
 protected:
  ~ServiceNotify() override {
    ::unsetenv("NOTIFY_SOCKET");
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  void supervise(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') {
      address.sun_path[0] = '\0';
    } else {
      path_ = name;
    }
    supervisor_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    ASSERT_EQ(::bind(supervisor_.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }

  std::string heard() {
    char text[64];
    const ssize_t length = ::recv(supervisor_.get(), text, sizeof text, 0);
    return length < 0 ? "" : std::string(text, static_cast<std::size_t>(length));
  }

  Fd supervisor_;
  std::string path_;
};

TEST_F(ServiceNotify, ReachesASocketInTheFileSystem) {
  supervise(testing::TempDir() + "notify-" + std::to_string(::getpid()));
  ASSERT_TRUE(notify_service("READY=1"));
  EXPECT_EQ(heard(), "READY=1");
}

TEST_F(ServiceNotify, ReachesAnAbstractSocket) {
  supervise("@ebb-notify-" + std::to_string(::getpid()));
  ASSERT_TRUE(notify_service("STOPPING=1"));
  EXPECT_EQ(heard(), "STOPPING=1");
}

TEST_F(ServiceNotify, DoesNothingWithoutASupervisor) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(notify_service("READY=1"));
}

TEST_F(ServiceNotify, NamesASocketThatIsNotThere) {
  ::setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
  const base::Result<> told = notify_service("READY=1");
  ASSERT_FALSE(told);
  EXPECT_NE(told.error().message.find("/nonexistent/notify"), std::string::npos);
}

}  // namespace
}  // namespace ebb::os
