// A stream moves to a connection of its own once it has carried much, and stays with the calls where it must.
#include "host/sandbox/guest_stream.h"

#include <map>
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/ttrpc/server.h"

#include "agent/agent.pb.h"
#include "agent/katacpp.pb.h"

namespace kata::sandbox {
namespace {

using std::chrono_literals::operator""s;
using Empty = google::protobuf::Empty;
using katacpp::agent::v1::OpenStreamRequest;
using katacpp::agent::v1::OpenStreamResponse;

constexpr size_t kCall = 256 * 1024;
constexpr size_t kTotal = 16 * kCall;

std::pair<StreamSocket, StreamSocket> socket_pair(asio::io_context& context) {
  int fds[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  const asio::generic::stream_protocol protocol(AF_UNIX, 0);
  return {StreamSocket(context, protocol, fds[0]), StreamSocket(context, protocol, fds[1])};
}

// The guest's other ports: what the test has put there.
class Ports : public vsock::GuestDialer {
 public:
  Awaitable<StreamSocket> connect(uint32_t port) override {
    const auto found = waiting.find(port);
    if (found == waiting.end()) throw Error(Code::kInternal, "nobody listens");
    StreamSocket socket = std::move(found->second);
    waiting.erase(found);
    co_return socket;
  }
  [[nodiscard]] std::string url(uint32_t port) const override { return "test:" + std::to_string(port); }
  std::map<uint32_t, StreamSocket> waiting;
};

class GuestStreamTest : public testing::Test {
 protected:
  enum class Agent { kWithStreams, kWithout, kUnreachable };

  void make(Agent kind, bool terminal = false) {
    server_ = ttrpc::Server::create();
    add<grpc::ReadStreamRequest, grpc::ReadStreamResponse>("ReadStdout", [this](const auto& request) {
      grpc::ReadStreamResponse response;
      response.set_data(take(request.len()));
      ++calls_;
      return response;
    });
    add<grpc::WriteStreamRequest, grpc::WriteStreamResponse>("WriteStdin", [this](const auto& request) {
      input_ += request.data();
      ++calls_;
      return grpc::WriteStreamResponse();
    });
    add<grpc::CloseStdinRequest, Empty>("CloseStdin", [this](const auto&) {
      closed_ = true;
      return Empty();
    });
    if (kind != Agent::kWithout) {
      add<OpenStreamRequest, OpenStreamResponse>(
          "OpenStream", [this, kind](const auto& request) { return open(request, kind); },
          "katacpp.agent.v1.Extra");
    }
    auto [ours, theirs] = socket_pair(context_);
    asio::co_spawn(context_, server_->serve(std::move(theirs), ttrpc::Server::PeerCheck::kNone),
                   asio::detached);
    owner_ = {.agent = std::make_shared<agent::AgentClient>(std::move(ours), "s1", agent::Limits(), ports_),
              .container_id = "c1",
              .exec_id = "e1",
              .terminal = terminal};
  }
  void TearDown() override {
    owner_.agent->close();
    server_->stop();
    owner_.agent.reset();
    context_.restart();
    context_.run();
  }

  template <typename Request, typename Response>
  void add(const char* method, std::function<Response(const Request&)> action,
           const char* service = "grpc.AgentService") {
    std::function<Awaitable<Response>(Request)> handler = [action](Request request) -> Awaitable<Response> {
      co_return action(request);
    };
    ttrpc::add<Request, Response>(*server_, service, method, std::move(handler));
  }

  OpenStreamResponse open(const OpenStreamRequest& request, Agent kind) {
    opened_.push_back(request.container_id() + " " + request.exec_id() + " " +
                      OpenStreamRequest::Kind_Name(request.kind()));
    OpenStreamResponse response;
    response.set_port(7);
    if (kind == Agent::kUnreachable) return response;
    auto [ours, theirs] = socket_pair(context_);
    ports_->waiting.emplace(7, std::move(ours));
    asio::co_spawn(context_, serve(std::move(theirs), request.kind()), asio::detached);
    return response;
  }

  Awaitable<> serve(StreamSocket socket, OpenStreamRequest::Kind kind) {
    if (kind != OpenStreamRequest::STDIN) {
      const std::string rest = take(kTotal);
      co_await asio::async_write(socket, asio::buffer(rest), asio::use_awaitable);
      co_return;
    }
    std::string data(kCall, '\0');
    boost::system::error_code error;
    while (!error) {
      const size_t size = co_await socket.async_read_some(asio::buffer(data),
                                                          asio::redirect_error(asio::use_awaitable, error));
      input_.append(data, 0, size);
    }
    closed_ = true;
  }

  std::string take(size_t limit) {
    const size_t size = std::min(limit, output_.size() - taken_);
    taken_ += size;
    return output_.substr(taken_ - size, size);
  }

  std::string read_all() {
    GuestStream stream(owner_, GuestStream::Kind::kStdout);
    std::string got;
    for (std::string data = run(stream.read()); !data.empty(); data = run(stream.read())) got += data;
    return got;
  }
  void write_all() {
    GuestStream stream(owner_, GuestStream::Kind::kStdin);
    for (size_t at = 0; at < output_.size(); at += kCall) run(stream.write(output_.substr(at, kCall)));
    run(stream.finish());
  }

  template <typename T>
  T run(Awaitable<T> task) {
    auto future = asio::co_spawn(context_, with_deadline(std::move(task), 30s, "test"), asio::use_future);
    context_.restart();
    while (future.wait_for(0s) != std::future_status::ready && context_.run_one() > 0) {
    }
    return future.get();
  }

  static std::string pattern() {
    std::string text;
    for (uint32_t i = 0; text.size() < kTotal; ++i) text += std::to_string(i * 2654435761U);
    text.resize(kTotal);
    return text;
  }

  asio::io_context context_;
  std::shared_ptr<Ports> ports_ = std::make_shared<Ports>();
  std::shared_ptr<ttrpc::Server> server_;
  StreamOwner owner_;
  std::string output_ = pattern();
  size_t taken_ = 0;
  std::string input_;
  bool closed_ = false;
  int calls_ = 0;
  std::vector<std::string> opened_;
};

TEST_F(GuestStreamTest, MuchOutputMoves) {
  make(Agent::kWithStreams);
  EXPECT_EQ(read_all(), output_);
  EXPECT_THAT(opened_, testing::ElementsAre("c1 e1 STDOUT"));
  EXPECT_LT(calls_, 5);
}

TEST_F(GuestStreamTest, MuchInputMovesAndItsEndIsTold) {
  make(Agent::kWithStreams);
  write_all();
  EXPECT_EQ(input_, output_);
  EXPECT_TRUE(closed_);
  EXPECT_THAT(opened_, testing::ElementsAre("c1 e1 STDIN"));
  EXPECT_LT(calls_, 5);
}

TEST_F(GuestStreamTest, LittleStaysWithTheCalls) {
  output_.resize(2 * kCall);
  make(Agent::kWithStreams);
  EXPECT_EQ(read_all(), output_);
  write_all();
  EXPECT_EQ(input_, output_);
  EXPECT_TRUE(closed_);
  EXPECT_TRUE(opened_.empty());
}

TEST_F(GuestStreamTest, WithoutStreamsTheCallsGoOn) {
  for (const auto kind : {Agent::kWithout, Agent::kUnreachable}) {
    taken_ = 0;
    input_.clear();
    calls_ = 0;
    make(kind);
    EXPECT_EQ(read_all(), output_);
    write_all();
    EXPECT_EQ(input_, output_);
    EXPECT_GE(calls_, 32);
    if (kind == Agent::kWithout) TearDown();
  }
}

TEST_F(GuestStreamTest, ATerminalStaysWithTheCalls) {
  make(Agent::kWithStreams, true);
  EXPECT_EQ(read_all(), output_);
  write_all();
  EXPECT_EQ(input_, output_);
  EXPECT_FALSE(closed_);
  EXPECT_TRUE(opened_.empty());
}

}  // namespace
}  // namespace kata::sandbox
