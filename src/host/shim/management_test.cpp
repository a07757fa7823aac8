#include "host/shim/management.h"

#include <gmock/gmock.h>

#include "host/shim/service_harness.h"

namespace kata::shim {
namespace {

class ManagementTest : public testing::Test {
 public:
  ManagementTest() : root_(::mkdtemp(name_)) { log::set_sink(nullptr); }
  ~ManagementTest() override { std::filesystem::remove_all(root_); }

  template <typename Body>
  void serve_and(Body body) {
    ManagementServer server(loop_.get_executor(), root_ + "/monitor",
                            {.sandbox = [this] { return sandbox_; },
                             .own_metrics = [] { return std::string("kata_shim_rpc 1\n"); }});
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

  Awaitable<std::string> send(std::string method, std::string target, std::string body = "") {
    return exchange(method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
                    std::to_string(body.size()) + "\r\n\r\n" + body);
  }

  asio::io_context loop_;
  char name_[32] = "/tmp/kata-monitor-XXXXXX";
  std::string root_;
  std::shared_ptr<sandbox::FakeSandbox::Script> script_ = std::make_shared<sandbox::FakeSandbox::Script>();
  std::shared_ptr<sandbox::Sandbox> sandbox_ =
      std::make_shared<sandbox::FakeSandbox>(loop_.get_executor(), nullptr, script_);
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
    EXPECT_NE(answer.find("kata_shim_rpc 1\n"), std::string::npos);
    EXPECT_NE(answer.find("kata_agent_rpc 1\n"), std::string::npos);
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

TEST_F(ManagementTest, GuestIsAskedAndTold) {
  serve_and([this]() -> Awaitable<> {
    EXPECT_TRUE((co_await get("/iptables")).ends_with("\r\n\r\n*filter\n"));
    EXPECT_TRUE((co_await get("/ip6tables")).ends_with("\r\n\r\n*filter6\n"));
    EXPECT_TRUE((co_await send("PUT", "/iptables", "*nat\nCOMMIT\n")).starts_with("HTTP/1.1 200 "));
    EXPECT_TRUE((co_await send("PUT", "/ip6tables", "x")).starts_with("HTTP/1.1 200 "));
    EXPECT_TRUE((co_await send("PUT", "/policy", "package p")).starts_with("HTTP/1.1 200 "));
    const std::string stats = co_await get("/direct-volume/stats?x=1&path=%2Fvar%2fa%20b");
    EXPECT_TRUE(stats.ends_with(R"({"usage":[{"available":1,"total":3,"used":2,"unit":1}],)"
                                R"("volume_condition":{"abnormal":false,"message":""}})"))
        << stats;
    EXPECT_TRUE((co_await send("POST", "/direct-volume/stats?path=/v")).starts_with("HTTP/1.1 200 "));
    EXPECT_TRUE(
        (co_await send("POST", "/direct-volume/resize", R"({"volume_guest_path":"/v","size":1073741824})"))
            .starts_with("HTTP/1.1 200 "));
  });
  EXPECT_THAT(script_->calls,
              testing::ElementsAre("iptables *nat\nCOMMIT\n", "ip6tables x", "policy package p",
                                   "stats /var/a b", "stats /v", "resize /v 1073741824"));
}

TEST_F(ManagementTest, BadRequestsAreRefusedBeforeTheGuestSeesThem) {
  struct Row {
    const char* method;
    std::string target, body;
    const char* status;
  };
  const std::vector<Row> rows = {
      {"PUT", "/iptables", "", "400"},
      {"POST", "/iptables", "x", "405"},
      {"PUT", "/policy", "", "400"},
      {"GET", "/policy", "", "405"},
      {"GET", "/direct-volume/stats", "", "400"},
      {"GET", "/direct-volume/stats?path=", "", "400"},
      {"GET", "/direct-volume/stats?pathx=/v", "", "400"},
      {"GET", "/direct-volume/stats?path=relative", "", "400"},
      {"GET", "/direct-volume/stats?path=/a/../../etc", "", "400"},
      {"GET", "/direct-volume/stats?path=/a/..", "", "400"},
      {"GET", "/direct-volume/stats?path=/a%00b", "", "400"},
      {"GET", "/direct-volume/stats?path=/a%zz", "", "400"},
      {"GET", "/direct-volume/stats?path=/a%4", "", "400"},
      {"GET", "/direct-volume/stats?path=/" + std::string(5000, 'x'), "", "400"},
      {"GET", "/direct-volume/resize", "", "405"},
      {"POST", "/direct-volume/resize", "", "400"},
      {"POST", "/direct-volume/resize", "[]", "400"},
      {"POST", "/direct-volume/resize", std::string(2000, '['), "400"},
      {"POST", "/direct-volume/resize", R"({"volume_guest_path":"/v"})", "400"},
      {"POST", "/direct-volume/resize", R"({"volume_guest_path":"/v","size":-1})", "400"},
      {"POST", "/direct-volume/resize", R"({"volume_guest_path":"/v","size":"1"})", "400"},
      {"POST", "/direct-volume/resize", R"({"volume_guest_path":"../v","size":1})", "400"},
      {"DELETE", "/metrics", "", "405"},
      {"GET", "/direct-volume", "", "404"},
      {"GET", "//metrics", "", "404"},
  };
  serve_and([&, this]() -> Awaitable<> {
    for (const Row& row : rows) {
      const std::string answer = co_await send(row.method, row.target, row.body);
      EXPECT_TRUE(answer.starts_with(std::string("HTTP/1.1 ") + row.status + " "))
          << row.method << " " << row.target.substr(0, 60) << " " << row.body.substr(0, 60) << ": "
          << answer.substr(0, 80);
    }
  });
  EXPECT_THAT(script_->calls, testing::IsEmpty());
}

TEST_F(ManagementTest, ErrorsOfTheGuestHaveTheirStatus) {
  serve_and([this]() -> Awaitable<> {
    for (const auto& [code, status] :
         std::vector<std::pair<Code, std::string>>{{Code::kUnimplemented, "501"},
                                                   {Code::kUnavailable, "503"},
                                                   {Code::kDeadlineExceeded, "504"},
                                                   {Code::kNotFound, "404"},
                                                   {Code::kPermissionDenied, "403"},
                                                   {Code::kInternal, "500"}}) {
      script_->admin_error = Error(code, "no luck");
      const std::string answer = co_await get("/iptables");
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + status + " ")) << answer;
      EXPECT_TRUE(answer.ends_with("\r\n\r\nno luck\n")) << answer;
    }
    sandbox_ = nullptr;
    EXPECT_TRUE((co_await get("/ip6tables")).starts_with("HTTP/1.1 503 "));
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
