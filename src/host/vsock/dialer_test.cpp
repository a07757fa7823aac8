#include "host/vsock/dialer.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "host/vsock/vhost_vsock.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::vsock {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using testing::HasSubstr;

Awaitable<std::optional<StreamSocket>> held(Awaitable<StreamSocket> task) {
  co_return co_await std::move(task);
}

StreamSocket run(asio::io_context& context, Awaitable<StreamSocket> task) {
  auto future = asio::co_spawn(context, held(std::move(task)), asio::use_future);
  context.restart();
  context.run();
  return *future.get();
}

Error error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  return {Code::kOk, ""};
}

// A folder with a socket in it, gone at the end.
class SocketFolder {
 public:
  SocketFolder() {
    std::string pattern = "/tmp/kata-dialer-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw_errno("making a test folder");
    folder_ = pattern;
  }
  ~SocketFolder() {
    ::unlink(path().c_str());
    ::rmdir(folder_.c_str());
  }
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;

  [[nodiscard]] std::string path() const { return folder_ + "/vm.sock"; }
  [[nodiscard]] UniqueFd listen(int backlog = 16) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path().c_str(), sizeof(address.sun_path) - 1);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(fd.get(), backlog) != 0)
      throw_errno("listening on " + path());
    return fd;
  }

 private:
  std::string folder_;
};

std::string read_line(int fd) {
  std::string line;
  char c = 0;
  while (::read(fd, &c, 1) == 1) {
    line += c;
    if (c == '\n') break;
  }
  return line;
}

// Serves one connection per script: reads the request line, sends the pieces one by one, closes.
class ScriptedServer {
 public:
  ScriptedServer(UniqueFd listener, std::vector<std::vector<std::string>> scripts)
      : listener_(std::move(listener)), thread_([this, scripts = std::move(scripts)] {
          for (const auto& script : scripts) serve(script);
        }) {}
  ~ScriptedServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] std::vector<std::string> requests() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    thread_ = std::thread([] {});
    return requests_;
  }

 private:
  void serve(const std::vector<std::string>& script) {
    const UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer) return;
    requests_.push_back(read_line(peer.get()));
    for (const auto& piece : script) {
      if (::send(peer.get(), piece.data(), piece.size(), MSG_NOSIGNAL) < 0) return;
    }
  }

  UniqueFd listener_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

std::string read_rest(StreamSocket& socket) {
  std::string rest;
  std::array<char, 256> buffer;
  boost::system::error_code error;
  socket.non_blocking(false);
  socket.native_non_blocking(false);
  while (const size_t count = socket.read_some(asio::buffer(buffer), error))
    rest.append(buffer.data(), count);
  return rest;
}

TEST(HybridDialerTest, TakesExactlyTheAnswerLine) {
  struct Row {
    const char* name;
    std::vector<std::string> pieces;
    Code code;
    std::string rest;
  };
  const std::vector<Row> rows = {
      {"plain answer", {"OK 1024\n"}, Code::kOk, ""},
      {"data in the same segment", {"OK 1024\nhello"}, Code::kOk, "hello"},
      {"data holds another OK line", {"OK 1\nOK 2\n"}, Code::kOk, "OK 2\n"},
      {"answer in pieces", {"O", "K", " 10", "24", "\n", "x"}, Code::kOk, "x"},
      {"answer without a number", {"OK\n"}, Code::kOk, ""},
      {"closed without an answer", {}, Code::kUnavailable, ""},
      {"closed in the middle", {"OK 10"}, Code::kUnavailable, ""},
      {"another answer", {"ERR no\x01such port\n"}, Code::kUnavailable, ""},
      {"empty line", {"\n"}, Code::kUnavailable, ""},
      {"endless line", {std::string(4096, 'a')}, Code::kUnavailable, ""},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const SocketFolder folder;
    ScriptedServer server(folder.listen(), {row.pieces});
    asio::io_context context;
    auto dialer = make_hybrid_dialer(folder.path());
    std::string rest;
    const Error error = error_of([&] {
      StreamSocket socket = run(context, dialer->connect(1024));
      EXPECT_NE(::fcntl(socket.native_handle(), F_GETFD) & FD_CLOEXEC, 0);
      rest = read_rest(socket);
    });
    EXPECT_EQ(error.code(), row.code) << error.message();
    EXPECT_EQ(rest, row.rest);
    EXPECT_EQ(server.requests(), std::vector<std::string>{"CONNECT 1024\n"});
  }
}

TEST(HybridDialerTest, NamesTheAddressAndThePeersText) {
  const SocketFolder folder;
  auto dialer = make_hybrid_dialer(folder.path());
  EXPECT_EQ(dialer->url(1025), "hvsock://" + folder.path() + ":1025");
  asio::io_context context;
  Error error = error_of([&] { run(context, dialer->connect(7)); });
  EXPECT_EQ(error.code(), Code::kUnavailable) << "a socket that is not there yet is tried again";
  EXPECT_THAT(error.message(), HasSubstr(folder.path() + ":7"));

  ScriptedServer server(folder.listen(), {{"NO\x02way\n"}});
  error = error_of([&] { run(context, dialer->connect(7)); });
  EXPECT_THAT(error.message(), HasSubstr("\"NO?way\""));

  auto too_long = make_hybrid_dialer("/" + std::string(200, 'x'));
  EXPECT_EQ(error_of([&] { run(context, too_long->connect(7)); }).code(), Code::kInvalidArgument);
}

TEST(HybridDialerTest, FullListenQueueIsTriedAgain) {
  const SocketFolder folder;
  const UniqueFd listener = folder.listen(0);
  asio::io_context context;
  auto dialer = make_remote_dialer(folder.path());
  std::vector<StreamSocket> held;
  const Error error = error_of([&] {
    for (int i = 0; i < 8; ++i) held.push_back(run(context, dialer->connect(1)));
  });
  EXPECT_EQ(error.code(), Code::kUnavailable) << error.message();
}

TEST(RemoteDialerTest, IsThePlainSocket) {
  const SocketFolder folder;
  const UniqueFd listener = folder.listen();
  asio::io_context context;
  auto dialer = make_remote_dialer(folder.path());
  EXPECT_EQ(dialer->url(1024), "remote://" + folder.path() + ":1024");
  StreamSocket socket = run(context, dialer->connect(1024));
  const UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  socket.close();
  EXPECT_EQ(read_line(peer.get()), "") << "nothing is sent of its own accord";
}

TEST(VsockDialerTest, GuestThatIsNotThereIsUnavailable) {
  const UniqueFd probe(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe) GTEST_SKIP() << "this kernel has no AF_VSOCK: " << std::strerror(errno);
  asio::io_context context;
  // The local context id: nothing leaves this host, whether it has the loopback transport or not.
  auto dialer = make_vsock_dialer(1);
  EXPECT_EQ(dialer->url(1024), "vsock://1:1024");
  EXPECT_EQ(dialer->backoff(), Backoff::kDoubling);
  const Error error = error_of([&] { run(context, dialer->connect(1024)); });
  EXPECT_EQ(error.code(), Code::kUnavailable) << error.message();
  EXPECT_THAT(error.message(), HasSubstr("vsock://1:1024"));
}

TEST(ConnectWithRetryTest, ConnectsOnceTheGuestAnswers) {
  const SocketFolder folder;
  ScriptedServer server(folder.listen(), {{}, {}, {"OK 5\n", "data"}});
  asio::io_context context;
  StreamSocket socket = run(context, connect_with_retry(make_hybrid_dialer(folder.path()), 1024, 1ms, 20s));
  EXPECT_EQ(read_rest(socket), "data");
  EXPECT_EQ(server.requests().size(), 3U);
}

TEST(ConnectWithRetryTest, DeadlineCarriesTheLastReason) {
  const SocketFolder folder;
  asio::io_context context;
  auto attempt = [&] { run(context, connect_with_retry(make_hybrid_dialer(folder.path()), 9, 1ms, 30ms)); };
  Error error = error_of(attempt);
  EXPECT_EQ(error.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(error.message(), HasSubstr("not done within 30 ms; last attempt: connecting"));

  const UniqueFd silent = folder.listen();
  error = error_of(attempt);
  EXPECT_EQ(error.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(error.message(), HasSubstr("still waiting for an answer"));
}

TEST(ConnectWithRetryTest, OtherErrorsEndAtOnce) {
  asio::io_context context;
  auto dialer = make_hybrid_dialer("/" + std::string(200, 'x'));
  EXPECT_EQ(error_of([&] { run(context, connect_with_retry(dialer, 9, 1ms, 20s)); }).code(),
            Code::kInvalidArgument);
}

TEST(ConnectWithRetryTest, CancelledWhileItWaitsForAnAnswer) {
  const SocketFolder folder;
  const UniqueFd silent = folder.listen();
  asio::io_context context;
  asio::cancellation_signal signal;
  std::exception_ptr result;
  asio::co_spawn(context, held(connect_with_retry(make_hybrid_dialer(folder.path()), 9, 1ms, 20s)),
                 asio::bind_cancellation_slot(
                     signal.slot(),
                     [&](std::exception_ptr error, const std::optional<StreamSocket>&) { result = error; }));
  context.poll();
  signal.emit(asio::cancellation_type::all);
  context.run_for(5s);
  EXPECT_TRUE(context.stopped());
  ASSERT_TRUE(result);
  EXPECT_THROW(std::rethrow_exception(result), boost::system::system_error);
}

TEST(VhostVsockTest, MissingDeviceIsSaid) {
  EXPECT_FALSE(vhost_vsock_available("/dev/no-such-vhost-vsock"));
  const Error error = error_of([] { open_vhost_vsock("/dev/no-such-vhost-vsock"); });
  EXPECT_EQ(error.code(), Code::kNotFound);
  EXPECT_THAT(error.message(), HasSubstr("/dev/no-such-vhost-vsock"));
  EXPECT_THAT(error_of([] { open_vhost_vsock("/dev/null"); }).message(), HasSubstr("reserving"));
}

TEST(VhostVsockTest, TwoOpensHaveTwoContextIds) {
  if (!vhost_vsock_available()) GTEST_SKIP() << "no /dev/vhost-vsock on this host";
  const VhostVsock first = open_vhost_vsock();
  const VhostVsock second = open_vhost_vsock();
  EXPECT_GE(first.cid, 3U);
  EXPECT_NE(first.cid, second.cid);
}

}  // namespace
}  // namespace kata::vsock
