// Connections made inside a namespace of the test's own, against the real kernel. Needs root.
#include "host/resource/network/port_forward.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <thread>

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "host/resource/network/netns.h"
#include "lib/async/blocking_pool.h"
#include "lib/error/error.h"

namespace kata::network {
namespace {

std::string shell(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen((command + " 2>&1").c_str(), "r"), ::pclose);
  std::string text;
  for (int c = 0; (c = std::fgetc(pipe.get())) != EOF;) text.push_back(static_cast<char>(c));
  return text;
}

// A guest that answers each connection with `answer`, its request in hex, and the end.
class FakeGuest : public vsock::GuestDialer {
 public:
  explicit FakeGuest(unsigned char answer) : answer_(answer) {}
  Awaitable<StreamSocket> connect(uint32_t port) override {
    if (port != kForwardPort) throw Error(Code::kUnavailable, "nobody listens there");
    const auto executor = co_await asio::this_coro::executor;
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
      throw_errno("making a pair of sockets");
    const asio::generic::stream_protocol protocol(AF_UNIX, 0);
    asio::co_spawn(executor, serve(StreamSocket(executor, protocol, ends[1]), answer_), asio::detached);
    co_return StreamSocket(executor, protocol, ends[0]);
  }
  [[nodiscard]] std::string url(uint32_t) const override { return {}; }

 private:
  static Awaitable<> serve(StreamSocket socket, unsigned char answer) {
    std::array<unsigned char, 18> request{};
    co_await asio::async_read(socket, asio::buffer(request), asio::use_awaitable);
    std::string text(1, static_cast<char>(answer));
    for (const unsigned char byte : request) {
      std::array<char, 3> hex{};
      std::snprintf(hex.data(), hex.size(), "%02x", byte);
      text += hex.data();
    }
    co_await asio::async_write(socket, asio::buffer(text + "\n"), asio::use_awaitable);
  }
  unsigned char answer_;
};

class PortForwardTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    name_ = "kataforward" + std::to_string(::getpid());
    const std::string out = shell("ip netns add " + name_ + " && ip -n " + name_ + " link set lo up");
    if (!out.empty()) GTEST_SKIP() << out;
    std::string reason;
    std::thread([&] {
      try {
        enter_netns("/run/netns/" + name_, std::nullopt);
        listeners_ = listen_everywhere();
      } catch (const Error& error) {
        reason = error.message();
      }
    }).join();
    if (!reason.empty()) GTEST_SKIP() << "the kernel cannot: " << reason;
  }
  void TearDown() override { shell("ip netns del " + name_); }

  // What bash sees that connects to each of the places, while a guest answers.
  std::string connect(unsigned char answer, const std::string& places) {
    asio::io_context io;
    PortForward forward(io.get_executor(), std::move(listeners_), std::make_shared<FakeGuest>(answer));
    TaskGroup tasks(io.get_executor(), [](std::string_view, const Error&) {});
    tasks.spawn("forward", forward.run());
    std::string seen;
    BlockingPool pool;
    asio::co_spawn(
        io,
        [&]() -> Awaitable<> {
          co_await pool.run([&] {
            seen = shell("for place in " + places + "; do ip netns exec " + name_ +
                         " timeout 10 bash -c \"exec 3<>/dev/tcp/$place && cat <&3\"; done");
          });
          tasks.cancel();
        },
        asio::detached);
    io.run();
    return seen;
  }

  std::string name_;
  PodListeners listeners_;
};

TEST_F(PortForwardTest, EveryPortOfBothFamiliesReachesTheGuest) {
  EXPECT_EQ(connect(0, "127.0.0.1/80 127.0.0.1/65535 ::1/8080"),
            "00000000000000000000ffff7f0000010050\n"
            "00000000000000000000ffff7f000001ffff\n"
            "000000000000000000000000000000011f90\n");
  // Nothing of it stays.
  EXPECT_NE(shell("ip netns exec " + name_ + " bash -c 'exec 3<>/dev/tcp/127.0.0.1/80'").find("refused"),
            std::string::npos);
}

TEST_F(PortForwardTest, ARefusalOfTheGuestResetsTheConnection) {
  EXPECT_NE(connect(111, "127.0.0.1/80").find("reset"), std::string::npos);
}

}  // namespace
}  // namespace kata::network
