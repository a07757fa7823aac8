// Streams and exit of a process, with an agent of the test's own on the other end of a socket pair.
#include "host/sandbox/process.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"
#include "lib/ttrpc/server.h"

#include "agent/agent.pb.h"
#include "agent/katacpp.pb.h"

namespace kata::sandbox {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;
using Empty = google::protobuf::Empty;

constexpr size_t kPipe = 65536;

// Byte `offset` of an output that repeats nowhere near.
void fill(char* bytes, size_t size, uint64_t offset) {
  for (size_t i = 0; i < size; i += 8) {
    const uint64_t word = (offset + i) * 0x9e3779b97f4a7c15U;
    std::memcpy(bytes + i, &word, std::min<size_t>(8, size - i));
  }
}

// One process that prints `total` bytes and takes a stdin.
class OneProcessAgent {
 public:
  enum class Kind { kOurs, kOriginal };

  OneProcessAgent(asio::io_context& context, StreamSocket socket, Kind kind)
      : closed_(context.get_executor()), exited_(context.get_executor()), server_(ttrpc::Server::create()) {
    add<grpc::ReadStreamRequest, grpc::ReadStreamResponse>("ReadStdout", &OneProcessAgent::read_stdout);
    add<grpc::ReadStreamRequest, grpc::ReadStreamResponse>("ReadStderr", &OneProcessAgent::read_stderr);
    add<grpc::WriteStreamRequest, grpc::WriteStreamResponse>("WriteStdin", &OneProcessAgent::write_stdin);
    add<grpc::CloseStdinRequest, Empty>("CloseStdin", &OneProcessAgent::close_stdin);
    add<grpc::WaitProcessRequest, grpc::WaitProcessResponse>("WaitProcess", &OneProcessAgent::wait_process);
    if (kind == Kind::kOurs) {
      add<katacpp::agent::v1::WaitExitRequest, katacpp::agent::v1::WaitExitResponse>(
          "WaitExit", &OneProcessAgent::wait_exit, "katacpp.agent.v1.Extra");
    }
    asio::co_spawn(context, server_->serve(std::move(socket), ttrpc::Server::PeerCheck::kNone),
                   asio::detached);
  }
  void stop() { server_->stop(); }
  // The process closes its output and ends.
  void end(int status) {
    status_ = status;
    closed_.set();
    exited_.set();
  }

  uint64_t total = 0;
  uint64_t served = 0;
  std::string input;
  bool input_closed = false;
  bool takes_input = true;
  uint64_t nanos_since_exit = 0;
  int waits = 0;

 private:
  template <typename Request, typename Response>
  void add(const char* name, Awaitable<Response> (OneProcessAgent::*method)(Request),
           const char* service = "grpc.AgentService") {
    std::function<Awaitable<Response>(Request)> handler = [this, method](Request request) {
      return (this->*method)(std::move(request));
    };
    ttrpc::add<Request, Response>(*server_, service, name, std::move(handler));
  }

  Awaitable<grpc::ReadStreamResponse> read_stdout(grpc::ReadStreamRequest request) {
    grpc::ReadStreamResponse response;
    const size_t size = std::min<uint64_t>({request.len(), kPipe, total - served});
    if (size == 0) {
      co_await closed_.wait();
      co_return response;
    }
    response.mutable_data()->resize(size);
    fill(response.mutable_data()->data(), size, served);
    served += size;
    co_return response;
  }
  Awaitable<grpc::ReadStreamResponse> read_stderr(grpc::ReadStreamRequest) {
    co_await closed_.wait();
    co_return grpc::ReadStreamResponse();
  }
  Awaitable<grpc::WriteStreamResponse> write_stdin(grpc::WriteStreamRequest request) {
    if (!takes_input) co_await exited_.wait();
    input += request.data();
    grpc::WriteStreamResponse response;
    response.set_len(static_cast<uint32_t>(request.data().size()));
    co_return response;
  }
  Awaitable<Empty> close_stdin(grpc::CloseStdinRequest) {
    input_closed = true;
    co_return Empty();
  }
  Awaitable<grpc::WaitProcessResponse> wait_process(grpc::WaitProcessRequest) {
    co_await exited_.wait();
    ++waits;
    grpc::WaitProcessResponse response;
    response.set_status(status_);
    co_return response;
  }
  Awaitable<katacpp::agent::v1::WaitExitResponse> wait_exit(katacpp::agent::v1::WaitExitRequest) {
    co_await exited_.wait();
    katacpp::agent::v1::WaitExitResponse response;
    response.set_status(status_);
    response.set_nanos_since_exit(nanos_since_exit);
    co_return response;
  }

  int status_ = 0;
  Event closed_;
  Event exited_;
  std::shared_ptr<ttrpc::Server> server_;
};

// Keeps the lines of the log.
class KeptLines : public log::Sink {
 public:
  explicit KeptLines(std::vector<std::string>& lines) : lines_(lines) {}
  void write(const log::Record& record) override { lines_.push_back(log::format_text(record)); }

 private:
  std::vector<std::string>& lines_;
};

// Private memory only: the program's own code is fetched page by page while it runs.
size_t resident_bytes() {
  const std::string text = read_file("/proc/self/status");
  return std::stoul(text.substr(text.find("RssAnon:") + 8)) << 10;
}

class ProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-process-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    log::set_sink(std::make_unique<KeptLines>(lines_));
    make_agent(OneProcessAgent::Kind::kOurs);
  }
  void TearDown() override {
    if (process_) run(process_->close_streams());
    stop_agent();
    log::set_sink(nullptr);
    std::filesystem::remove_all(dir_);
  }

  void make_agent(OneProcessAgent::Kind kind) {
    stop_agent();
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    const auto adopt = [&](int fd) {
      return StreamSocket(context_, asio::generic::stream_protocol(AF_UNIX, 0), fd);
    };
    agent_ = std::make_unique<OneProcessAgent>(context_, adopt(fds[0]), kind);
    client_ = std::make_shared<agent::AgentClient>(adopt(fds[1]), "s1", agent::Limits());
  }
  void stop_agent() {
    if (!agent_) return;
    client_->close();
    agent_->stop();
    client_.reset();
    context_.restart();
    context_.run();
  }

  std::string fifo(const std::string& name) {
    const std::string path = dir_ + "/" + name;
    EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
    return path;
  }
  void open(Stdio stdio, Duration drain_limit = 10s) {
    process_ = std::make_shared<Process>(context_.get_executor(), "c1", "", std::move(stdio));
    StdioRules rules{.containerd_namespace = "test", .drain_limit = drain_limit};
    run(process_->open_stdio(std::move(rules)));
  }
  template <typename T>
  T run(Awaitable<T> task) {
    auto future = asio::co_spawn(context_, with_deadline(std::move(task), 60s, "test"), asio::use_future);
    run_until([&] { return future.wait_for(0s) == std::future_status::ready; });
    return future.get();
  }
  void run_until(const std::function<bool()>& done) {
    context_.restart();
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (!done() && context_.run_one_until(end) > 0) {
    }
    EXPECT_TRUE(done());
  }
  // Lets everything happen that can happen without anybody's help.
  void settle() {
    for (int i = 0; i < 200; ++i) {
      context_.restart();
      context_.poll();
    }
  }
  bool logged(const std::string& text) const {
    return std::any_of(lines_.begin(), lines_.end(),
                       [&](const std::string& line) { return line.find(text) != std::string::npos; });
  }

  asio::io_context context_;
  std::string dir_;
  std::vector<std::string> lines_;
  std::unique_ptr<OneProcessAgent> agent_;
  std::shared_ptr<agent::AgentClient> client_;
  std::shared_ptr<Process> process_;
};

// Reads a fifo to the end of what is expected; returns how many bytes were right before the first wrong one.
uint64_t read_and_compare(const std::string& path, uint64_t total) {
  const UniqueFd fd = open_file(path, O_RDONLY);
  std::string got(kPipe, '\0');
  std::string wanted(kPipe + 8, '\0');
  uint64_t offset = 0;
  while (offset < total) {
    const ssize_t n = ::read(fd.get(), got.data(), got.size());
    if (n <= 0) break;
    const uint64_t start = offset & ~uint64_t{7};
    fill(wanted.data(), static_cast<size_t>(offset - start + static_cast<uint64_t>(n)), start);
    if (std::memcmp(got.data(), wanted.data() + (offset - start), static_cast<size_t>(n)) != 0) break;
    offset += static_cast<uint64_t>(n);
  }
  return offset;
}

TEST_F(ProcessTest, AStalledReaderCostsLittleAndLosesNothing) {
  agent_->total = uint64_t{256} << 20;
  const std::string out = fifo("out");
  open({.in = "", .out = out, .err = "", .terminal = false});
  settle();
  const size_t before = resident_bytes();
  process_->start_streams(client_);
  run_until([&] { return agent_->served >= 3 * kPipe; });
  settle();
  // One chunk in the fifo, one that waits for it, one that was fetched meanwhile.
  EXPECT_EQ(agent_->served, 3 * kPipe);
#if !__has_feature(address_sanitizer)
  // The sanitizer keeps freed memory for a while, so only a plain build shows what the streams cost.
  EXPECT_LE(resident_bytes(), before + (size_t{1} << 20));
#else
  static_cast<void>(before);
#endif

  uint64_t right = 0;
  std::thread reader([&] { right = read_and_compare(out, agent_->total); });
  agent_->end(0);
  EXPECT_EQ(run(process_->collect()).status, 0U);
  reader.join();
  EXPECT_EQ(right, agent_->total);
  EXPECT_FALSE(logged("dropped"));
}

TEST_F(ProcessTest, AfterTheExitAStalledReaderIsWaitedForOnlySoLong) {
  agent_->total = 200 << 10;
  agent_->nanos_since_exit = 5'000'000'000;
  open({.in = "", .out = fifo("out"), .err = "", .terminal = false}, 50ms);
  process_->start_streams(client_);
  agent_->end(3);
  const ExitInfo exit = run(process_->collect());
  EXPECT_EQ(exit.status, 3U);
  EXPECT_LE(exit.at, std::chrono::system_clock::now() - 5s);
  EXPECT_EQ(process_->seen_exit()->status, 3U);
  // The fifo holds 64 KiB; all the rest was counted.
  EXPECT_TRUE(logged("bytes=\"" + std::to_string(agent_->total - kPipe))) << testing::PrintToString(lines_);
  EXPECT_EQ(agent_->waits, 1);
}

TEST_F(ProcessTest, BothOrdersOfExitAndEndOfOutputGiveTheStatus) {
  for (const auto kind : {OneProcessAgent::Kind::kOurs, OneProcessAgent::Kind::kOriginal}) {
    make_agent(kind);
    agent_->total = 10;
    const std::string file = dir_ + "/file" + std::to_string(static_cast<int>(kind));
    open({.in = "", .out = "file://" + file, .err = "", .terminal = false});
    process_->start_streams(client_);
    run_until([&] { return agent_->served == 10; });
    agent_->end(143);
    const auto before = std::chrono::system_clock::now();
    EXPECT_EQ(run(process_->collect()).status, 143U);
    EXPECT_GE(std::chrono::system_clock::now() + 1s, before);
    EXPECT_EQ(read_file(file).size(), 10U);
    run(process_->close_streams());
  }
}

TEST_F(ProcessTest, WithAnAgentThatCannotTellTheExitAKillLimitsTheDrain) {
  make_agent(OneProcessAgent::Kind::kOriginal);
  agent_->total = 200 << 10;
  open({.in = "", .out = fifo("out"), .err = "", .terminal = false}, 50ms);
  process_->start_streams(client_);
  run_until([&] { return agent_->served >= 3 * kPipe; });
  process_->limit_drain();
  agent_->end(137);
  EXPECT_EQ(run(process_->collect()).status, 137U);
  EXPECT_TRUE(logged("dropped"));
}

TEST_F(ProcessTest, AnOutputWhoseReaderIsGoneForGoodHoldsNothingUp) {
  agent_->total = 1 << 20;
  std::filesystem::create_directory(dir_ + "/d");
  open({.in = "", .out = "file:///dev/full", .err = "", .terminal = false});
  process_->start_streams(client_);
  agent_->end(0);
  EXPECT_EQ(run(process_->collect()).status, 0U);
  EXPECT_EQ(agent_->served, agent_->total);
  EXPECT_TRUE(logged("output of a process is lost"));
}

TEST_F(ProcessTest, StdinSurvivesItsWriterAndEndsWhenAsked) {
  const std::string in = fifo("in");
  open({.in = in, .out = "", .err = "", .terminal = false});
  process_->start_streams(client_);
  write_existing(in, "one");
  run_until([&] { return agent_->input == "one"; });
  settle();
  EXPECT_FALSE(agent_->input_closed);
  write_existing(in, " two");
  run_until([&] { return agent_->input == "one two"; });
  {
    const UniqueFd writer = open_file(in, O_WRONLY);
    write_all(writer.get(), " three", "stdin");
    // The client's end is still open: what it has written is forwarded, then the end.
    run(process_->close_stdin());
  }
  EXPECT_EQ(agent_->input, "one two three");
  EXPECT_TRUE(agent_->input_closed);
}

TEST_F(ProcessTest, StdinThatWasClosedBeforeTheStartIsStillForwarded) {
  const std::string in = fifo("in");
  open({.in = in, .out = "", .err = "", .terminal = false});
  const UniqueFd writer = open_file(in, O_WRONLY);
  const std::string data(50000, 'x');
  write_all(writer.get(), data, "stdin");
  run(process_->close_stdin());
  process_->start_streams(client_);
  run_until([&] { return agent_->input_closed; });
  EXPECT_EQ(agent_->input, data);
}

TEST_F(ProcessTest, AProcessThatDoesNotReadItsStdinEndsAllTheSame) {
  const std::string in = fifo("in");
  agent_->takes_input = false;
  open({.in = in, .out = "", .err = "", .terminal = false});
  process_->start_streams(client_);
  const UniqueFd writer = open_file(in, O_WRONLY);
  write_all(writer.get(), std::string(60000, 'x'), "stdin");
  settle();
  agent_->end(0);
  EXPECT_EQ(run(process_->collect()).status, 0U);
  run(process_->close_streams());
  // Whoever goes on writing learns that nobody reads.
  std::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(::write(writer.get(), "y", 1), -1);
  EXPECT_EQ(errno, EPIPE);
}

TEST_F(ProcessTest, WithoutAStdinTheProcessSeesItsEndAtOnce) {
  open({.in = "", .out = "", .err = "", .terminal = false});
  process_->start_streams(client_);
  run_until([&] { return agent_->input_closed; });
}

TEST_F(ProcessTest, BadStdioIsRefusedByName) {
  std::filesystem::create_directory(dir_ + "/folder");
  write_file(dir_ + "/file", "");
  struct Row {
    const char* name;
    std::string uri;
    Code code;
  };
  const Row rows[] = {
      {"missing", dir_ + "/none", Code::kNotFound},
      {"folder", dir_ + "/folder", Code::kInvalidArgument},
      {"regular file", dir_ + "/file", Code::kInvalidArgument},
      {"relative", "x/y", Code::kInvalidArgument},
      {"unknown kind", "carrier-pigeon:///x", Code::kUnimplemented},
      {"device", "/dev/null", Code::kInvalidArgument},
  };
  for (const Row& row : rows) {
    for (const bool input : {false, true}) {
      try {
        if (input) {
          open_input(context_.get_executor(), row.uri);
        } else {
          open_output(context_.get_executor(), row.uri);
        }
        ADD_FAILURE() << row.name;
      } catch (const Error& error) {
        if (std::string(row.name) != "folder") EXPECT_EQ(error.code(), row.code) << row.name;
        EXPECT_NE(error.message().find(row.uri), std::string::npos) << error.message();
      }
    }
  }
}

}  // namespace
}  // namespace kata::sandbox
