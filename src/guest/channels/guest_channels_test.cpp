// Both channels on Unix sockets.
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/write.hpp>

#include "guest/channels/debug_console.h"
#include "guest/channels/forward_port.h"
#include "guest/channels/log_port.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::channels {
namespace {

constexpr std::chrono::seconds kLimit{15};

class Channels : public testing::Test {
 protected:
  void SetUp() override {
    // As the agent has it.
    ::signal(SIGPIPE, SIG_IGN);
    std::string pattern = (std::filesystem::temp_directory_path() / "channels.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    name_.sun_family = AF_UNIX;
    std::strcpy(name_.sun_path, (folder_ + "/s").c_str());
  }
  void TearDown() override {
    tasks_.cancel();
    run_until([this] { return tasks_.size() == 0; });
    std::filesystem::remove_all(folder_);
  }
  UniqueFd listener() {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name_), sizeof name_), 0);
    EXPECT_EQ(::listen(socket.get(), 16), 0);
    return socket;
  }
  std::unique_ptr<asio::posix::stream_descriptor> connect() {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name_), sizeof name_), 0);
    set_nonblocking(socket.get());
    return std::make_unique<asio::posix::stream_descriptor>(io_, socket.release());
  }
  bool run_until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + kLimit;
    io_.restart();
    while (!done()) {
      const auto left = end - std::chrono::steady_clock::now();
      if (left <= Duration::zero() || io_.run_one_for(left) == 0) return done();
    }
    return true;
  }
  // Reads until `text` came or the peer closed; true when it came.
  bool read_until(asio::posix::stream_descriptor& from, std::string& all, const std::string& text) {
    bool closed = false;
    asio::co_spawn(
        io_,
        [&]() -> Awaitable<> {
          std::array<char, 4096> buffer;
          try {
            while (all.find(text) == std::string::npos) {
              const size_t n = co_await from.async_read_some(asio::buffer(buffer), asio::use_awaitable);
              all.append(buffer.data(), n);
            }
          } catch (const std::exception&) {
          }
          closed = true;
        },
        asio::detached);
    EXPECT_TRUE(run_until([&] { return closed; })) << all;
    return all.find(text) != std::string::npos;
  }

  asio::io_context io_{1};
  TaskGroup tasks_{io_.get_executor(), [](std::string_view, const Error&) {}};
  std::string folder_;
  sockaddr_un name_{};
};

log::Record record(std::string_view message) {
  return {.level = log::Level::kWarning, .message = message, .fields = {{"container", "c\"1"}}, .time_ns = 0};
}

TEST_F(Channels, LinesBeforeAndAfterTheConnection) {
  LogPort port(io_.get_executor());
  const auto sink = port.sink(nullptr);
  tasks_.spawn("port", port.run(listener(), tasks_));
  sink->write(record("early"));
  const auto first = connect();
  std::string text;
  ASSERT_TRUE(read_until(*first, text, "}\n"));
  EXPECT_EQ(text,
            "{\"msg\":\"early\",\"level\":\"WARN\",\"ts\":\"1970-01-01T00:00:00.000000000Z\",\"name\":\"kata-"
            "agent\","
            "\"source\":\"agent\",\"container\":\"c\\\"1\",\"subsystem\":\"root\"}\n");
  sink->write(record("late"));
  EXPECT_TRUE(read_until(*first, text, "\"late\""));
  const auto second = connect();
  std::string again;
  EXPECT_TRUE(read_until(*second, again, "\"late\""));
  EXPECT_NE(again.find("\"early\""), std::string::npos);
}

TEST_F(Channels, AReaderThatStallsHoldsNobodyUp) {
  LogPort port(io_.get_executor());
  const auto sink = port.sink(nullptr);
  tasks_.spawn("port", port.run(listener(), tasks_));
  const auto stalled = connect();
  const auto reader = connect();
  std::string text;
  sink->write(record("begin"));
  ASSERT_TRUE(read_until(*reader, text, "begin"));
  const std::string padding(1000, 'x');
  for (int i = 0; i < 3000; ++i) {
    sink->write(record(padding));
    if (i % 50 == 0) io_.poll();
  }
  sink->write(record("end"));
  text.clear();
  ASSERT_TRUE(read_until(*stalled, text, "log lines lost"));
  EXPECT_LT(text.size(), size_t{1} << 20);
}

TEST_F(Channels, TheOldestConnectionMakesRoom) {
  LogPort port(io_.get_executor());
  const auto sink = port.sink(nullptr);
  tasks_.spawn("port", port.run(listener(), tasks_));
  sink->write(record("hello"));
  std::vector<std::unique_ptr<asio::posix::stream_descriptor>> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(connect());
    std::string text;
    ASSERT_TRUE(read_until(*all.back(), text, "hello"));
  }
  sink->write(record("again"));
  std::string text;
  EXPECT_FALSE(read_until(*all.front(), text, "again"));
  text.clear();
  EXPECT_TRUE(read_until(*all.back(), text, "again"));
}

TEST_F(Channels, LongLinesAreDropped) {
  LogPort port(io_.get_executor());
  const auto sink = port.sink(nullptr);
  tasks_.spawn("port", port.run(listener(), tasks_));
  const std::string giant(100'000, 'g');
  sink->write(record(giant));
  sink->write(record("small"));
  const auto reader = connect();
  std::string text;
  EXPECT_TRUE(read_until(*reader, text, "small"));
  EXPECT_EQ(text.find("ggg"), std::string::npos);
}

// The request for a port of 127.0.0.1.
std::string forward_request(uint16_t port) {
  std::string request(10, '\0');
  request += "\xff\xff\x7f";
  request += std::string(2, '\0') + '\1';
  request += static_cast<char>(port >> 8);
  request += static_cast<char>(port & 255);
  return request;
}

TEST_F(Channels, ForwardToAPort) {
  UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(server.get(), name, size), 0);
  ASSERT_EQ(::listen(server.get(), 1), 0);
  ASSERT_EQ(::getsockname(server.get(), name, &size), 0);
  tasks_.spawn("forward", serve_forwards(listener(), tasks_));
  const auto host = connect();
  const std::string request = forward_request(ntohs(address.sin_port)) + "ping";
  asio::co_spawn(io_, asio::async_write(*host, asio::buffer(request), asio::use_awaitable), asio::detached);
  std::string text;
  ASSERT_TRUE(read_until(*host, text, std::string(1, '\0')));
  {
    const UniqueFd peer(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(peer);
    ASSERT_EQ(::send(peer.get(), "pong", 4, 0), 4);
    ASSERT_TRUE(read_until(*host, text, "pong"));
    std::array<char, 8> got{};
    ASSERT_EQ(::recv(peer.get(), got.data(), got.size(), 0), 4);
    EXPECT_STREQ(got.data(), "ping");
    // The end of one direction is passed on.
    ::shutdown(host->native_handle(), SHUT_WR);
    io_.restart();
    io_.run_for(std::chrono::milliseconds(50));
    EXPECT_EQ(::recv(peer.get(), got.data(), got.size(), 0), 0);
  }
  EXPECT_FALSE(read_until(*host, text, "more"));
  // A port where nobody listens any more.
  server.reset();
  const auto again = connect();
  asio::co_spawn(io_, asio::async_write(*again, asio::buffer(request), asio::use_awaitable), asio::detached);
  text.clear();
  EXPECT_FALSE(read_until(*again, text, "never"));
  EXPECT_EQ(text, std::string(1, static_cast<char>(ECONNREFUSED)));
}

TEST_F(Channels, AForwardWithoutAWholeRequestEnds) {
  tasks_.spawn("forward", serve_forwards(listener(), tasks_));
  const auto host = connect();
  asio::co_spawn(io_, asio::async_write(*host, asio::buffer("short", 5), asio::use_awaitable),
                 asio::detached);
  ::shutdown(host->native_handle(), SHUT_WR);
  std::string text;
  EXPECT_FALSE(read_until(*host, text, "x"));
  EXPECT_EQ(text, "");
}

TEST_F(Channels, AShellOnATerminal) {
  tasks_.spawn("console", serve_console(listener(), {"/nonexistent/sh", "/bin/sh"}, tasks_));
  const auto console = connect();
  const std::string commands = "tty; echo $((40+2))-done; exit\n";
  asio::co_spawn(io_, asio::async_write(*console, asio::buffer(commands), asio::use_awaitable),
                 asio::detached);
  std::string text;
  EXPECT_TRUE(read_until(*console, text, "42-done")) << text;
  EXPECT_NE(text.find("/dev/pts/"), std::string::npos) << text;
  // The connection ends with the shell.
  EXPECT_FALSE(read_until(*console, text, "never"));
}

TEST_F(Channels, TheShellEndsWithItsConnection) {
  tasks_.spawn("console", serve_console(listener(), {"/bin/sh"}, tasks_));
  auto console = connect();
  const std::string command = "echo pid-$$-\n";
  asio::co_spawn(io_, asio::async_write(*console, asio::buffer(command), asio::use_awaitable),
                 asio::detached);
  std::string text;
  // The terminal echoes the command first: its answer begins with a digit.
  ASSERT_TRUE(read_until(*console, text, "-\r\n")) << text;
  while (text.find("pid-$$-") != std::string::npos && text.find("\npid-") == std::string::npos) {
    text.erase(0, text.find("-\r\n") + 3);
    if (!read_until(*console, text, "-\r\n")) break;
  }
  const size_t at = text.rfind("pid-");
  ASSERT_NE(at, std::string::npos) << text;
  const pid_t pid = std::atoi(text.c_str() + at + 4);
  ASSERT_GT(pid, 1) << text;
  console->close();
  EXPECT_TRUE(run_until([&] { return ::kill(pid, 0) != 0; }));
}

TEST(FindShell, NamesWhatItLookedFor) {
  try {
    (void)find_shell({"/nonexistent/a", "/nonexistent/b"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_NE(error.message().find("/nonexistent/b"), std::string::npos);
  }
  EXPECT_EQ(console_shells().front(), "/run/kata-extensions/devkit/bin/devkit-sh");
}

}  // namespace
}  // namespace kata::channels
