#include "host/shim/management.h"

#include "host/shim/service_harness.h"

namespace kata::shim {
namespace {

class ManagementTest : public testing::Test {
 public:
  ManagementTest() : root_(::mkdtemp(name_)) { log::set_sink(nullptr); }
  ~ManagementTest() override { std::filesystem::remove_all(root_); }

  template <typename Body>
  void serve_and(Body body) {
    ManagementServer server(loop_.get_executor(), root_ + "/monitor", [this] { return sandbox_; });
    bool finished = false;
    asio::co_spawn(
        loop_,
        [&]() -> Awaitable<> {
          co_await with_deadline(body(), std::chrono::seconds(20), "the test");
          co_await server.stop();
          finished = true;
        },
        asio::detached);
    loop_.run();
    EXPECT_TRUE(finished);
    EXPECT_FALSE(std::filesystem::exists(root_ + "/monitor"));
  }

  // Sends bytes and returns all that comes back until the server closes.
  Awaitable<std::string> exchange(std::string bytes) {
    asio::local::stream_protocol::socket socket(loop_);
    const asio::local::stream_protocol::endpoint endpoint(root_ + "/monitor");
    co_await socket.async_connect(endpoint, asio::use_awaitable);
    boost::system::error_code end;
    co_await asio::async_write(socket, asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, end));
    end = {};
    socket.shutdown(asio::socket_base::shutdown_send, end);
    std::string answer, part(4096, '\0');
    while (true) {
      const size_t size =
          co_await socket.async_read_some(asio::buffer(part), asio::redirect_error(asio::use_awaitable, end));
      if (end) co_return answer;
      answer.append(part, 0, size);
    }
  }
  Awaitable<std::string> get(std::string target) {
    return exchange("GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }

  asio::io_context loop_;
  char name_[32] = "/tmp/kata-monitor-XXXXXX";
  std::string root_;
  std::shared_ptr<sandbox::Sandbox> sandbox_ = std::make_shared<sandbox::FakeSandbox>(
      loop_.get_executor(), nullptr, std::make_shared<sandbox::FakeSandbox::Script>());
};

TEST_F(ManagementTest, AgentUrl) {
  serve_and([this]() -> Awaitable<> {
    const std::string answer = co_await get("/agent-url");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\nvsock://3:1024")) << answer;
    sandbox_ = nullptr;
    EXPECT_TRUE((co_await get("/agent-url")).starts_with("HTTP/1.1 503 "));
  });
}

TEST_F(ManagementTest, MetricsOfAllParts) {
  serve_and([this]() -> Awaitable<> {
    std::string answer = co_await get("/metrics?x=y");
    EXPECT_NE(answer.find("kata_agent_up 1\n"), std::string::npos);
    EXPECT_NE(answer.find("kata_shim_threads 1\n"), std::string::npos);
    sandbox_ = nullptr;
    answer = co_await get("/metrics");
    EXPECT_EQ(answer.find("kata_agent_up 1\n"), std::string::npos);
    EXPECT_NE(answer.find("kata_shim_threads 1\n"), std::string::npos);
  });
}

TEST_F(ManagementTest, OtherRequestsAreRefused) {
  serve_and([this]() -> Awaitable<> {
    const std::string answer = co_await get("/nope");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 404 ")) << answer;
    EXPECT_TRUE(answer.ends_with("URL NOT FOUND")) << answer;
    EXPECT_TRUE((co_await exchange("PUT /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"))
                    .starts_with("HTTP/1.1 405 "));
  });
}

TEST_F(ManagementTest, SeveralRequestsOnOneConnection) {
  serve_and([this]() -> Awaitable<> {
    const std::string one = "GET /agent-url HTTP/1.1\r\n\r\n";
    const std::string answer = co_await exchange(one + one);
    EXPECT_NE(answer.find("HTTP/1.1 200 OK", 10), std::string::npos) << answer;
  });
}

TEST_F(ManagementTest, HostileRequestsEndTheirConnectionOnly) {
  serve_and([this]() -> Awaitable<> {
    for (const std::string& bytes :
         {std::string("\0\xff", 2), std::string("GET"),
          "GET /" + std::string(100000, 'x') + " HTTP/1.1\r\n\r\n",
          std::string("POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nx"),
          std::string("GET /metrics HTTP/1.1\r\n") + std::string(50000, 'h')}) {
      EXPECT_EQ((co_await exchange(bytes)).find(" 200 "), std::string::npos);
    }
    EXPECT_NE((co_await get("/agent-url")).find(" 200 "), std::string::npos);
  });
}

}  // namespace
}  // namespace kata::shim
