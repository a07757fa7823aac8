// For tests: the serving half of the shim in this process, a fake containerd that takes its events, and a
// client.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "host/shim/address.h"
#include "host/shim/fake_sandbox.h"
#include "host/shim/serve.h"
#include "lib/async/deadline.h"
#include "lib/async/event.h"
#include "lib/async/task_group.h"
#include "lib/log/log.h"
#include "lib/ttrpc/client.h"
#include "lib/ttrpc/server.h"

#include "containerd/events_service.pb.h"
#include "containerd/task.pb.h"
#include "google/protobuf/empty.pb.h"

namespace kata::shim {

// Accepts containerd's event calls on a socket and remembers the envelopes.
class FakeContainerd {
 public:
  FakeContainerd(const asio::any_io_executor& executor, const std::string& path)
      : group_(executor, [](std::string_view, const Error&) {}),
        server_(ttrpc::Server::create()),
        changed_(executor, TimePoint::max()) {
    server_->add("containerd.services.events.ttrpc.v1.Events", "Forward",
                 [this](std::string payload, ttrpc::RequestInfo) -> Awaitable<std::string> {
                   if (refusals > 0) {
                     --refusals;
                     throw Error(Code::kUnavailable, "not now");
                   }
                   containerd::services::events::ttrpc::v1::ForwardRequest request;
                   EXPECT_TRUE(request.ParseFromString(payload));
                   envelopes.push_back(request.envelope());
                   changed_.cancel();
                   co_return std::string();
                 });
    Listening listening = listen_at(path);
    acceptor_ = std::make_unique<asio::local::stream_protocol::acceptor>(
        executor, asio::local::stream_protocol(), listening.socket.release());
    group_.spawn("accept", accept());
  }

  // Topics without "/tasks/", in order of arrival.
  [[nodiscard]] std::vector<std::string> topics() const {
    std::vector<std::string> out;
    for (const auto& envelope : envelopes) out.push_back(envelope.topic().substr(7));
    return out;
  }
  Awaitable<> until(size_t count) {
    while (envelopes.size() < count) {
      boost::system::error_code woken;
      co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
  }
  Awaitable<> stop() {
    acceptor_->close();
    server_->stop();
    group_.cancel();
    co_await group_.join();
  }

  std::vector<containerd::types::Envelope> envelopes;
  int refusals = 0;

 private:
  Awaitable<> accept() {
    for (;;) {
      asio::local::stream_protocol::socket socket = co_await acceptor_->async_accept(asio::use_awaitable);
      group_.spawn("connection",
                   server_->serve(StreamSocket(std::move(socket)), ttrpc::Server::PeerCheck::kNone));
    }
  }

  TaskGroup group_;
  std::shared_ptr<ttrpc::Server> server_;
  std::unique_ptr<asio::local::stream_protocol::acceptor> acceptor_;
  asio::steady_timer changed_;
};

class ServiceTest : public testing::Test {
 public:
  using Script = sandbox::FakeSandbox::Script;

  ServiceTest() : root_(::mkdtemp(name_)) { log::set_sink(nullptr); }
  ~ServiceTest() override { std::filesystem::remove_all(root_); }

  // Serves, runs `body`, and asserts that both end. A body that does not shut the shim down sees it
  // cancelled.
  template <typename Body>
  void serve_and(Body body) {
    Listening listening = listen_at(root_ + "/shim");
    containerd_ = std::make_unique<FakeContainerd>(loop_.get_executor(), root_ + "/events");
    TaskGroup group(loop_.get_executor(), [](std::string_view task, const Error& error) {
      ADD_FAILURE() << task << ": " << error.message();
    });
    group.spawn("shim", [](ServiceTest& self, UniqueFd listener) -> Awaitable<> {
      co_await serve_tasks(std::move(listener), self.settings());
      self.ended_ = true;
    }(*this, std::move(listening.socket)));
    bool finished = false;
    asio::co_spawn(
        loop_,
        [&]() -> Awaitable<> {
          std::exception_ptr failed;
          try {
            co_await with_deadline(body(), std::chrono::seconds(20), "the test");
          } catch (...) {
            failed = std::current_exception();
          }
          if (failed) ADD_FAILURE() << to_error(failed).message();
          if (failed || !shut_down_) group.cancel();
          co_await group.join();
          co_await containerd_->stop();
          finished = true;
        },
        asio::detached);
    loop_.run();
    EXPECT_TRUE(finished);
  }

  ServeSettings settings() {
    ServeSettings settings;
    settings.sandbox_id = "c1";
    settings.containerd_namespace = "k8s.io";
    settings.manager = manager_;
    settings.ttrpc_address = root_ + "/events";
    settings.options = start_options_;
    settings.answer_limit = answer_limit_;
    settings.idle_limit = idle_limit_;
    settings.unused_limit = unused_limit_;
    settings.make_sandbox = [this](asio::any_io_executor executor, sandbox::SandboxConfig config,
                                   std::shared_ptr<sandbox::EventSink> events) {
      ++script_->made;
      script_->config = std::move(config);
      auto made = std::make_shared<sandbox::FakeSandbox>(executor, std::move(events), script_);
      script_->last = made;
      return made;
    };
    settings.load_config = [this](const config::LoadRequest& request) {
      loaded_.push_back(request);
      if (load_error_) throw *load_error_;
      return config::Config();
    };
    return settings;
  }

  Awaitable<std::shared_ptr<ttrpc::Client>> connect() {
    asio::local::stream_protocol::socket socket(loop_);
    const asio::local::stream_protocol::endpoint endpoint(root_ + "/shim");
    co_await socket.async_connect(endpoint, asio::use_awaitable);
    co_return ttrpc::Client::create(StreamSocket(std::move(socket)), "the shim");
  }

  // A call of the task service, answered or failed.
  template <typename Response = google::protobuf::Empty, typename Request>
  Awaitable<Response> call(std::shared_ptr<ttrpc::Client> client, std::string method, Request request) {
    co_return co_await ttrpc::call<Response>(client, service_, std::move(method), request);
  }

  template <typename Request>
  Awaitable<Error> failure(std::shared_ptr<ttrpc::Client> client, std::string method, Request request) {
    try {
      const std::string bytes = request.SerializeAsString();
      co_await client->call(service_, method, bytes, {});
    } catch (const Error& error) {
      co_return error;
    }
    ADD_FAILURE() << method << " succeeded";
    co_return Error(Code::kOk, "");
  }

  // Ids as most requests have them.
  template <typename Request>
  static Request of(const std::string& id, const std::string& exec_id = "") {
    Request request;
    request.set_id(id);
    if constexpr (requires { request.set_exec_id(exec_id); }) request.set_exec_id(exec_id);
    return request;
  }

  containerd::task::v3::CreateTaskRequest create_request(const std::string& id) {
    const std::string bundle = root_ + "/" + id;
    std::filesystem::create_directory(bundle);
    std::ofstream(bundle + "/config.json") << R"({"ociVersion":"1.0.2","process":{"args":["sh"],"cwd":"/"},)"
                                           << R"("root":{"path":"rootfs"},"annotations":{"k":"v"}})";
    containerd::task::v3::CreateTaskRequest request;
    request.set_id(id);
    request.set_bundle(bundle);
    request.set_stdout("/fifo/" + id);
    request.set_terminal(true);
    auto& mount = *request.add_rootfs();
    mount.set_type("overlay");
    mount.set_source("overlay");
    mount.add_options("ro");
    return request;
  }

  static containerd::task::v3::ExecProcessRequest exec_request(const std::string& id,
                                                               const std::string& exec_id) {
    containerd::task::v3::ExecProcessRequest request;
    request.set_id(id);
    request.set_exec_id(exec_id);
    request.mutable_spec()->set_type_url("types.containerd.io/opencontainers/runtime-spec/1/Process");
    request.mutable_spec()->set_value(R"({"args":["ls"],"cwd":"/tmp"})");
    return request;
  }

  Awaitable<> create_and_start(std::shared_ptr<ttrpc::Client> client, std::string id) {
    namespace proto = containerd::task::v3;
    co_await call<proto::CreateTaskResponse>(client, "Create", create_request(id));
    co_await call<proto::StartResponse>(client, "Start", of<proto::StartRequest>(id));
  }

  Awaitable<> shut_down(std::shared_ptr<ttrpc::Client> client, bool now = false) {
    auto request = of<containerd::task::v3::ShutdownRequest>("c1");
    request.set_now(now);
    shut_down_ = true;
    co_await call(client, "Shutdown", request);
  }

  asio::io_context loop_;
  char name_[32] = "/tmp/kata-shim-XXXXXX";
  std::string root_;
  std::string service_ = "containerd.task.v2.Task";
  Manager manager_ = Manager::kContainerd;
  std::string start_options_;
  Duration answer_limit_ = kAnswerLimit;
  Duration idle_limit_ = kIdleLimit;
  Duration unused_limit_ = kUnusedLimit;
  std::shared_ptr<Script> script_ = std::make_shared<Script>();
  std::vector<config::LoadRequest> loaded_;
  std::optional<Error> load_error_;
  std::unique_ptr<FakeContainerd> containerd_;
  bool shut_down_ = false;
  bool ended_ = false;
};

}  // namespace kata::shim
