// The program as a process, with its seccomp filter: sockets, readiness, a whole life, the end.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>

#include "host/vsock_device/fake_guest.h"
#include "host/vsock_device/listener.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::vsock_device {
namespace {

using testing::HasSubstr;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("making a pipe");
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  UniqueFd read;
  UniqueFd write;
};

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() {
    std::string pattern = "/tmp/kata-vsock-program-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw_errno("making a test folder");
    folder = pattern;
  }
  ~ProgramTest() override {
    if (child > 0) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    for (const char* name : {"/vu", "/uds", "/uds_5000"}) ::unlink((folder + name).c_str());
    ::rmdir(folder.c_str());
  }

  // `inherit` get the numbers 40, 41, ... in the child; standard error goes into `errors`.
  void spawn(std::vector<std::string> arguments, const std::vector<int>& inherit = {}) {
    arguments.insert(arguments.begin(), KATA_PROGRAM);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, errors.write.get(), 2);
    for (size_t i = 0; i < inherit.size(); ++i)
      ::posix_spawn_file_actions_adddup2(&actions, inherit[i], static_cast<int>(40 + i));
    const int result = ::posix_spawn(&child, KATA_PROGRAM, &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (result != 0) throw Error::from_errno(result, "starting the program");
    errors.write.reset();
  }
  // Its exit code, or minus the signal; its standard error is in `error_text` then.
  int wait() {
    error_text = read_all(errors.read.get(), 1 << 20, "standard error");
    int status = 0;
    ::waitpid(child, &status, 0);
    child = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void await_ready(Pipe& ready) {
    ready.write.reset();
    char byte = 0;
    ASSERT_EQ(::read(ready.read.get(), &byte, 1), 1);
    ASSERT_EQ(::read(ready.read.get(), &byte, 1), 0) << "closed after the byte";
  }
  [[nodiscard]] std::string read_some(const UniqueFd& fd) const {
    pollfd waiting{.fd = fd.get(), .events = POLLIN, .revents = 0};
    ::poll(&waiting, 1, 10'000);
    std::array<char, 4096> bytes;
    const ssize_t count = ::read(fd.get(), bytes.data(), bytes.size());
    return {bytes.data(), static_cast<size_t>(std::max<ssize_t>(count, 0))};
  }
  [[nodiscard]] bool exists(const char* name) const { return ::access((folder + name).c_str(), F_OK) == 0; }

  // A guest comes up, a host program talks to it and it to a host program, all ends.
  void live(UniqueFd frontend, const std::string& uds);

  std::string folder;
  Pipe errors;
  std::string error_text;
  pid_t child = -1;
};

void ProgramTest::live(UniqueFd frontend, const std::string& uds) {
  FakeGuest guest(std::move(frontend), [] {});
  const UniqueFd host = connect_unix(uds);
  ASSERT_TRUE(host);
  write_all(host.get(), "CONNECT 1024\n", "test");
  guest.start();
  guest.post_receive_buffers(16);
  const auto request = guest.await();
  ASSERT_TRUE(request);
  PacketHeader header{.source_cid = FakeGuest::kCid,
                      .destination_cid = kHostCid,
                      .source_port = 1024,
                      .destination_port = request->header.source_port,
                      .operation = Operation::kResponse,
                      .buffer_size = 65536};
  guest.transmit(header);
  EXPECT_EQ(read_some(host).substr(0, 3), "OK ");
  header.operation = Operation::kReadWrite;
  header.length = 5;
  guest.transmit(header, "hello");
  EXPECT_EQ(read_some(host), "hello");
  write_all(host.get(), "answer", "test");
  const auto answer = guest.await();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->payload, "answer");

  const UniqueFd listener = listen_unix(uds + "_5000");
  header.source_port = 77;
  header.destination_port = 5000;
  header.operation = Operation::kRequest;
  header.length = 0;
  guest.transmit(header);
  const auto response = guest.await();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->header.operation, Operation::kResponse);
  guest.set_memory();
  guest.stop();
  EXPECT_EQ(read_some(host), "") << "closed with the guest";
}

TEST_F(ProgramTest, LivesAsLongAsItsFrontEnd) {
  Pipe ready;
  spawn({"--socket", folder + "/vu", "--uds", folder + "/uds", "--cid", "42", "--ready-fd", "40"},
        {ready.write.get()});
  await_ready(ready);
  UniqueFd frontend = connect_unix(folder + "/vu");
  ASSERT_TRUE(frontend) << "listens once it is ready";
  live(std::move(frontend), folder + "/uds");
  EXPECT_EQ(wait(), 0) << error_text;
  EXPECT_FALSE(exists("/vu"));
  EXPECT_FALSE(exists("/uds"));
  EXPECT_THAT(error_text, HasSubstr("guest driver is up"));
}

TEST_F(ProgramTest, TakesSocketsFromItsParent) {
  const UniqueFd uds = listen_unix(folder + "/uds");
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
  UniqueFd frontend(ends[0]);
  UniqueFd backend(ends[1]);
  spawn({"--fd", "40", "--uds", folder + "/uds", "--uds-fd", "41", "--cid", "42"},
        {backend.get(), uds.get()});
  backend.reset();
  live(std::move(frontend), folder + "/uds");
  EXPECT_EQ(wait(), 0) << error_text;
  EXPECT_TRUE(exists("/uds")) << "the parent has bound it and removes it";
}

TEST_F(ProgramTest, BrokenFrontEndEndsItWithAReason) {
  Pipe ready;
  spawn({"--socket", folder + "/vu", "--uds", folder + "/uds", "--cid", "42", "--ready-fd", "40"},
        {ready.write.get()});
  await_ready(ready);
  const UniqueFd frontend = connect_unix(folder + "/vu");
  write_all(frontend.get(), std::string(64, '\xff'), "test");
  EXPECT_NE(wait(), 0);
  EXPECT_THAT(error_text, HasSubstr("protocol version"));
  EXPECT_FALSE(exists("/uds"));
}

TEST_F(ProgramTest, BadCommandLinesAreExplained) {
  struct Row {
    std::vector<std::string> arguments;
    const char* message;
  };
  const std::string uds = folder + "/uds";
  const std::vector<Row> rows = {
      {{}, "exactly one of --socket and --fd"},
      {{"--socket", "a", "--fd", "3"}, "exactly one of --socket and --fd"},
      {{"--socket", folder + "/vu", "--cid", "3"}, "expected --uds"},
      {{"--socket", folder + "/vu", "--uds", uds}, "expected --cid"},
      {{"--cid", "2"}, "--cid 2: expected a number from 3 to 4294967294"},
      {{"--cid", "4294967295"}, "expected a number"},
      {{"--cid", "x"}, "expected a number"},
      {{"--fd", "-1"}, "expected a number"},
      {{"--max-streams", "0"}, "expected a number from 1"},
      {{"--log-level", "loud"}, "expected trace, debug"},
      {{"--nonsense"}, "--help lists"},
      {{"--socket"}, "missing value"},
      {{"--help", "extra"}, "unexpected argument extra"},
      {{"--fd", "39", "--uds", uds, "--cid", "3"}, "descriptor 39"},
      {{"--socket", "/nonexistent/vu", "--uds", uds, "--cid", "3"}, "listening on /nonexistent/vu"},
      {{"--socket", folder + "/vu", "--uds", "/" + std::string(120, 'x'), "--cid", "3"}, "too long"},
  };
  for (const Row& row : rows) {
    errors = Pipe();
    spawn(row.arguments);
    EXPECT_NE(wait(), 0);
    EXPECT_THAT(error_text, HasSubstr(row.message));
    EXPECT_FALSE(exists("/uds")) << row.message;
  }
}

}  // namespace
}  // namespace kata::vsock_device
