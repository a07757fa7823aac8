#include "host/vmm/qemu/qmp_client.h"

#include <array>
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "lib/async/deadline.h"
#include "lib/fd/io.h"

namespace kata::vmm::qemu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The test plays QEMU by hand at the other end of the socket.
class QmpClientTest : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends;
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    peer_ = UniqueFd(ends[1]);
    client_ = std::make_shared<QmpClient>(context_.get_executor(), UniqueFd(ends[0]),
                                          [this](const QmpEvent& event) { events_.push_back(event.name); });
    asio::co_spawn(context_, client_->read_loop(), asio::detached);
  }
  void TearDown() override {
    client_->close();
    turn();
  }
  // Runs everything that can run now.
  void turn() {
    context_.restart();
    context_.poll();
  }
  void say(const std::string& line) {
    write_all(peer_.get(), line + "\r\n", "the test's QMP line");
    turn();
  }
  std::string heard() {
    turn();
    std::array<char, 4096> buffer;
    const ssize_t n = ::recv(peer_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return {buffer.data(), n > 0 ? static_cast<size_t>(n) : 0};
  }
  // Starts a call; its result or error text is in the returned string once it is done.
  std::shared_ptr<std::string> call(Awaitable<std::string> task) {
    auto result = std::make_shared<std::string>();
    auto body = [](Awaitable<std::string> inner, std::shared_ptr<std::string> out) -> Awaitable<> {
      try {
        *out = co_await std::move(inner);
      } catch (...) {
        *out = "error: " + to_error(std::current_exception()).message();
      }
    };
    asio::co_spawn(context_, body(std::move(task), result), asio::detached);
    turn();
    return result;
  }

  asio::io_context context_;
  UniqueFd peer_;
  std::shared_ptr<QmpClient> client_;
  std::vector<std::string> events_;
};

TEST_F(QmpClientTest, NegotiatesAfterTheGreeting) {
  const auto version = call(client_->negotiate());
  EXPECT_EQ(heard(), "") << "QEMU speaks first";
  say(R"({"QMP":{"version":{"qemu":{"major":8,"minor":0,"micro":1}}}})");
  EXPECT_EQ(heard(), "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
  say(R"({"return":{},"id":1})");
  EXPECT_EQ(*version, "8.0.1");
}

TEST_F(QmpClientTest, AnswersFindTheirCallsInAnyOrder) {
  const auto first = call(client_->execute("one"));
  const auto second = call(client_->execute("two", R"({"a":1})"));
  EXPECT_EQ(heard(),
            "{\"execute\":\"one\",\"id\":1}\n{\"execute\":\"two\",\"id\":2,\"arguments\":{\"a\":1}}\n");
  say(R"({"event":"RESUME"})");
  say(R"({"error":{"class":"GenericError","desc":"no such thing"},"id":2})");
  say(R"({"return":7,"id":99})");
  say(R"({"return":"yes","id":1})");
  EXPECT_EQ(*first, "\"yes\"");
  EXPECT_EQ(*second, "error: QMP two: no such thing");
  EXPECT_THAT(events_, ElementsAre("RESUME"));
}

TEST_F(QmpClientTest, TheEndOfTheConnectionFailsWhatIsUnderWayAndLater) {
  const auto before = call(client_->execute("one"));
  peer_.reset();
  turn();
  EXPECT_THAT(*before, HasSubstr("closed the connection"));
  EXPECT_THAT(*call(client_->execute("two")), HasSubstr("closed the connection"));
}

TEST_F(QmpClientTest, GarbageEndsTheConnection) {
  const auto under_way = call(client_->execute("one"));
  say("garbage");
  EXPECT_THAT(*under_way, HasSubstr("not a JSON object"));
  EXPECT_THAT(*call(client_->negotiate()), HasSubstr("not a JSON object"));
}

TEST_F(QmpClientTest, ACallThatWasGivenUpLeavesTheConnectionUsable) {
  auto limited = [](QmpClient& client) -> Awaitable<std::string> {
    auto slow = client.execute("slow");
    co_return co_await with_deadline(std::move(slow), std::chrono::milliseconds(1), "the slow call");
  };
  auto future = asio::co_spawn(context_, limited(*client_), asio::use_future);
  context_.restart();
  while (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready) context_.run_one();
  EXPECT_THROW(future.get(), Error);
  const auto next = call(client_->execute("next"));
  say(R"({"return":1,"id":1})");
  say(R"({"return":2,"id":2})");
  EXPECT_EQ(*next, "2");
}

TEST_F(QmpClientTest, ADescriptorTravelsWithItsCommand) {
  std::array<int, 2> pipe;
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  auto give = [](QmpClient& client, int fd) -> Awaitable<std::string> {
    co_await client.give_descriptor("tap0", fd);
    co_return "given";
  };
  const auto done = call(give(*client_, pipe[1]));
  std::array<char, 256> text;
  iovec part{.iov_base = text.data(), .iov_len = text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(peer_.get(), &message, MSG_DONTWAIT);
  ASSERT_GT(n, 0);
  EXPECT_EQ(std::string(text.data(), static_cast<size_t>(n)),
            "{\"execute\":\"getfd\",\"id\":1,\"arguments\":{\"fdname\":\"tap0\"}}\n");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  ASSERT_NE(header, nullptr);
  int received = -1;
  std::memcpy(&received, CMSG_DATA(header), sizeof received);
  const UniqueFd owned(received);
  struct stat ours{}, theirs{};
  ASSERT_EQ(::fstat(pipe[1], &ours), 0);
  ASSERT_EQ(::fstat(received, &theirs), 0);
  EXPECT_EQ(ours.st_ino, theirs.st_ino);
  say(R"({"return":{},"id":1})");
  EXPECT_EQ(*done, "given");
  ::close(pipe[0]);
  ::close(pipe[1]);
}

}  // namespace
}  // namespace kata::vmm::qemu
