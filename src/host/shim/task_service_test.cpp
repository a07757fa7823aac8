#include "host/shim/task_service.h"

#include "host/shim/service_harness.h"

#include "containerd/events.pb.h"
#include "containerd/runtimeoptions.pb.h"

namespace kata::shim {
namespace {

namespace proto = containerd::task::v3;
using Topics = std::vector<std::string>;

class TaskServiceTest : public ServiceTest {};

TEST_F(TaskServiceTest, LifeOfAContainer) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    const auto created = co_await call<proto::CreateTaskResponse>(client, "Create", create_request("c1"));
    EXPECT_EQ(created.pid(), sandbox::FakeSandbox::kPid);
    auto state = co_await call<proto::StateResponse>(client, "State", of<proto::StateRequest>("c1"));
    EXPECT_EQ(state.status(), containerd::v1::types::CREATED);
    EXPECT_EQ(state.bundle(), root_ + "/c1");
    EXPECT_EQ(state.stdout(), "/fifo/c1");
    EXPECT_TRUE(state.terminal());
    EXPECT_FALSE(state.has_exited_at());

    const auto connected =
        co_await call<proto::ConnectResponse>(client, "Connect", of<proto::ConnectRequest>("x"));
    EXPECT_EQ(connected.shim_pid(), static_cast<uint32_t>(getpid()));
    EXPECT_EQ(connected.task_pid(), sandbox::FakeSandbox::kPid);

    const auto started = co_await call<proto::StartResponse>(client, "Start", of<proto::StartRequest>("c1"));
    EXPECT_EQ(started.pid(), sandbox::FakeSandbox::kPid);
    const auto pids = co_await call<proto::PidsResponse>(client, "Pids", of<proto::PidsRequest>("c1"));
    EXPECT_EQ(pids.processes_size(), 2);
    auto kill = of<proto::KillRequest>("c1");
    kill.set_signal(9);
    co_await call(client, "Kill", kill);
    const auto exit = co_await call<proto::WaitResponse>(client, "Wait", of<proto::WaitRequest>("c1"));
    EXPECT_EQ(exit.exit_status(), 137U);
    state = co_await call<proto::StateResponse>(client, "State", of<proto::StateRequest>("c1"));
    EXPECT_EQ(state.status(), containerd::v1::types::STOPPED);
    EXPECT_EQ(state.exit_status(), 137U);
    EXPECT_GT(state.exited_at().seconds(), 0);
    const auto gone = co_await call<proto::DeleteResponse>(client, "Delete", of<proto::DeleteRequest>("c1"));
    EXPECT_EQ(gone.exit_status(), 137U);
    EXPECT_EQ(gone.pid(), sandbox::FakeSandbox::kPid);
    EXPECT_EQ(script_->stopped, 1U);
    co_await shut_down(client);
    co_await client->closed();
  });
  EXPECT_TRUE(ended_);
  ASSERT_EQ(script_->requests.size(), 1U);
  EXPECT_EQ(script_->requests[0].rootfs.at(0).type, "overlay");
  EXPECT_TRUE(script_->requests[0].spec.process->terminal);
  EXPECT_EQ(script_->config.id, "c1");
}

TEST_F(TaskServiceTest, EventsComeInOrderWithTheirFields) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    co_await call(client, "Exec", exec_request("c1", "e1"));
    co_await call<proto::StartResponse>(client, "Start", of<proto::StartRequest>("c1", "e1"));
    co_await call(client, "Pause", of<proto::PauseRequest>("c1"));
    co_await call(client, "Resume", of<proto::ResumeRequest>("c1"));
    const auto sandbox = script_->last.lock();
    sandbox->exit("c1", "e1", 3);
    sandbox->exit("c1", "", 0);
    co_await call<proto::DeleteResponse>(client, "Delete", of<proto::DeleteRequest>("c1"));
    co_await shut_down(client);
  });
  EXPECT_EQ(containerd_->topics(), (Topics{"create", "start", "exec-added", "exec-started", "paused",
                                           "resumed", "exit", "exit", "delete"}));
  for (const auto& envelope : containerd_->envelopes) {
    EXPECT_EQ(envelope.namespace_(), "k8s.io");
    EXPECT_GT(envelope.timestamp().seconds(), 0);
  }
  ::containerd::events::TaskExit exit;
  EXPECT_EQ(containerd_->envelopes.at(6).event().type_url(), "containerd.events.TaskExit");
  ASSERT_TRUE(exit.ParseFromString(containerd_->envelopes.at(6).event().value()));
  EXPECT_EQ(exit.container_id(), "c1");
  EXPECT_EQ(exit.id(), "e1");
  EXPECT_EQ(exit.exit_status(), 3U);
  ASSERT_TRUE(exit.ParseFromString(containerd_->envelopes.at(7).event().value()));
  EXPECT_EQ(exit.id(), "c1");
  EXPECT_EQ(exit.exit_status(), 0U);
  ::containerd::events::TaskCreate create;
  ASSERT_TRUE(create.ParseFromString(containerd_->envelopes.at(0).event().value()));
  EXPECT_EQ(create.container_id(), "c1");
  EXPECT_EQ(create.bundle(), root_ + "/c1");
  EXPECT_EQ(create.io().stdout(), "/fifo/c1");
  EXPECT_TRUE(create.io().terminal());
  EXPECT_EQ(create.rootfs(0).type(), "overlay");
}

TEST_F(TaskServiceTest, AnInstantExitComesAfterItsStart) {
  script_->instant_exit = 7;
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    const auto exit = co_await call<proto::WaitResponse>(client, "Wait", of<proto::WaitRequest>("c1"));
    EXPECT_EQ(exit.exit_status(), 7U);
    co_await call<proto::DeleteResponse>(client, "Delete", of<proto::DeleteRequest>("c1"));
    co_await shut_down(client);
  });
  EXPECT_EQ(containerd_->topics(), (Topics{"create", "start", "exit", "delete"}));
}

TEST_F(TaskServiceTest, AFailedStartTellsNothing) {
  script_->start_error = Error(Code::kNotFound, "exec: no such program");
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await call<proto::CreateTaskResponse>(client, "Create", create_request("c1"));
    const Error error = co_await failure(client, "Start", of<proto::StartRequest>("c1"));
    EXPECT_EQ(error.message(), "exec: no such program");
    co_await call<proto::DeleteResponse>(client, "Delete", of<proto::DeleteRequest>("c1"));
    co_await shut_down(client);
  });
  EXPECT_EQ(containerd_->topics(), (Topics{"create", "delete"}));
}

TEST_F(TaskServiceTest, RefusedEventsAreTriedAgain) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    containerd_->refusals = 2;
    co_await create_and_start(client, "c1");
    co_await containerd_->until(2);
    co_await shut_down(client, true);
  });
  EXPECT_EQ(containerd_->topics(), (Topics{"create", "start", "exit"}));
}

TEST_F(TaskServiceTest, ShutdownWithoutASandboxEndsTheShim) {
  load_error_ = Error(Code::kNotFound, "no configuration file");
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    const Error error = co_await failure(client, "Create", create_request("c1"));
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_NE(error.message().find("no configuration file"), std::string::npos) << error.message();
    EXPECT_EQ((co_await failure(client, "State", of<proto::StateRequest>("c1"))).code(), Code::kNotFound);
    co_await shut_down(client);
  });
  EXPECT_TRUE(ended_);
  EXPECT_EQ(script_->made, 0U);
}

TEST_F(TaskServiceTest, AFailedFirstCreateLeavesNoSandbox) {
  script_->create_error = Error(Code::kUnavailable, "guest does not answer");
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    EXPECT_EQ((co_await failure(client, "Create", create_request("c1"))).code(), Code::kUnavailable);
    EXPECT_EQ(script_->stopped, 1U);
    co_await create_and_start(client, "c1");
    EXPECT_EQ(script_->made, 2U);
    co_await shut_down(client, true);
  });
  EXPECT_EQ(script_->stopped, 2U);
  EXPECT_TRUE(ended_);
}

// Whoever asked for the Delete, or the Create that failed, may be gone.
TEST_F(TaskServiceTest, AShimWithoutContainersEndsWithoutAShutdown) {
  idle_limit_ = std::chrono::milliseconds(50);
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    script_->last.lock()->exit("c1", "", 0);
    co_await call<proto::DeleteResponse>(client, "Delete", of<proto::DeleteRequest>("c1"));
    shut_down_ = true;  // not by a call
    co_await client->closed();
  });
  EXPECT_TRUE(ended_);
}

TEST_F(TaskServiceTest, AShimThatNobodyUsesEnds) {
  unused_limit_ = std::chrono::milliseconds(50);
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    shut_down_ = true;  // not by a call
    co_await client->closed();
  });
  EXPECT_TRUE(ended_);
}

TEST_F(TaskServiceTest, AShimWhoseCreateFailedEndsWithoutAShutdown) {
  idle_limit_ = std::chrono::milliseconds(50);
  script_->create_error = Error(Code::kUnavailable, "guest does not answer");
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await failure(client, "Create", create_request("c1"));
    shut_down_ = true;  // not by a call
    co_await client->closed();
  });
  EXPECT_TRUE(ended_);
}

TEST_F(TaskServiceTest, ShutdownWaitsForTheLastContainer) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    co_await create_and_start(client, "c2");
    EXPECT_EQ(script_->made, 1U);
    co_await shut_down(client);
    script_->last.lock()->exit("c2", "", 0);
    co_await call<proto::DeleteResponse>(client, "Delete", of<proto::DeleteRequest>("c2"));
    co_await shut_down(client);
    EXPECT_EQ(script_->stopped, 0U);
    EXPECT_FALSE(ended_);
    script_->last.lock()->exit("c1", "", 0);
    co_await call<proto::DeleteResponse>(client, "Delete", of<proto::DeleteRequest>("c1"));
    co_await shut_down(client);
  });
  EXPECT_EQ(script_->stopped, 1U);
  EXPECT_TRUE(ended_);
}

TEST_F(TaskServiceTest, EveryErrorHasItsCode) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    const auto code = [&](std::string method, auto request) -> Awaitable<Code> {
      const Error error = co_await failure(client, method, request);
      EXPECT_FALSE(error.message().empty()) << method;
      co_return error.code();
    };
    EXPECT_EQ(co_await code("Create", create_request("c1")), Code::kAlreadyExists);
    EXPECT_EQ(co_await code("Start", of<proto::StartRequest>("c1")), Code::kFailedPrecondition);
    EXPECT_EQ(co_await code("Delete", of<proto::DeleteRequest>("c1")), Code::kFailedPrecondition);
    EXPECT_EQ(co_await code("Checkpoint", of<proto::CheckpointTaskRequest>("c1")), Code::kUnimplemented);
    EXPECT_EQ(co_await code("Start", of<proto::StartRequest>("c1", "nope")), Code::kNotFound);
    EXPECT_EQ(co_await code("State", of<proto::StateRequest>("nope")), Code::kNotFound);
    EXPECT_EQ(co_await code("Wait", of<proto::WaitRequest>("nope")), Code::kNotFound);
    EXPECT_EQ(co_await code("Delete", of<proto::DeleteRequest>("nope")), Code::kNotFound);
    EXPECT_EQ(co_await code("Kill", of<proto::KillRequest>("nope")), Code::kNotFound);
    EXPECT_EQ(co_await code("Stats", of<proto::StatsRequest>("nope")), Code::kNotFound);
    EXPECT_EQ(co_await code("Exec", exec_request("nope", "e1")), Code::kNotFound);
    EXPECT_EQ(co_await code("Exec", exec_request("c1", "../e1")), Code::kInvalidArgument);
    auto exec = exec_request("c1", "e1");
    exec.mutable_spec()->set_type_url("x.Y");
    EXPECT_EQ(co_await code("Exec", exec), Code::kInvalidArgument);
    exec = exec_request("c1", "e1");
    exec.mutable_spec()->set_value("{");
    EXPECT_EQ(co_await code("Exec", exec), Code::kInvalidArgument);
    EXPECT_EQ(co_await code("Update", of<proto::UpdateTaskRequest>("c1")), Code::kInvalidArgument);
    EXPECT_EQ(co_await code("Nonsense", of<proto::StateRequest>("c1")), Code::kUnimplemented);

    auto create = create_request("c9");
    create.set_id("../c9");
    EXPECT_EQ(co_await code("Create", create), Code::kInvalidArgument);
    create = create_request("c9");
    create.set_bundle("c9");
    EXPECT_EQ(co_await code("Create", create), Code::kInvalidArgument);
    create.set_bundle(root_ + "/nowhere");
    EXPECT_EQ(co_await code("Create", create), Code::kNotFound);
    create = create_request("c9");
    create.set_checkpoint("/x");
    EXPECT_EQ(co_await code("Create", create), Code::kUnimplemented);
  });
}

TEST_F(TaskServiceTest, AStoppedProcessCannotBeKilled) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    script_->last.lock()->exit("c1", "", 0);
    for (const uint32_t signal : {0U, 9U, 15U}) {
      auto kill = of<proto::KillRequest>("c1");
      kill.set_signal(signal);
      EXPECT_EQ((co_await failure(client, "Kill", kill)).code(), Code::kNotFound) << signal;
    }
  });
}

TEST_F(TaskServiceTest, CrioIsToldThatAnEndedProcessWasKilled) {
  manager_ = Manager::kCrio;
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    script_->last.lock()->exit("c1", "", 0);
    for (const uint32_t signal : {9U, 15U}) {
      auto kill = of<proto::KillRequest>("c1");
      kill.set_signal(signal);
      co_await call(client, "Kill", kill);
      kill.set_id("nope");
      co_await call(client, "Kill", kill);
    }
    EXPECT_EQ((co_await failure(client, "Kill", of<proto::KillRequest>("c1"))).code(), Code::kNotFound);
  });
}

TEST_F(TaskServiceTest, ArgumentsReachTheSandbox) {
  service_ = "containerd.task.v3.Task";
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    auto exec = exec_request("c1", "e1");
    exec.set_terminal(true);
    exec.set_stdin("/in");
    co_await call(client, "Exec", exec);
    auto resize = of<proto::ResizePtyRequest>("c1");
    resize.set_width(80);
    resize.set_height(24);
    co_await call(client, "ResizePty", resize);
    co_await call(client, "CloseIO", of<proto::CloseIORequest>("c1"));
    auto close = of<proto::CloseIORequest>("c1", "e1");
    close.set_stdin(true);
    co_await call(client, "CloseIO", close);
    auto kill = of<proto::KillRequest>("c1");
    kill.set_signal(10);
    kill.set_all(true);
    co_await call(client, "Kill", kill);
    auto update = of<proto::UpdateTaskRequest>("c1");
    update.mutable_resources()->set_type_url(
        "type.googleapis.com/types.containerd.io/opencontainers/runtime-spec/1/LinuxResources");
    update.mutable_resources()->set_value(R"({"memory":{"limit":1048576}})");
    co_await call(client, "Update", update);
  });
  EXPECT_EQ(script_->calls, (std::vector<std::string>{"create c1", "start c1 ", "resize 80x24", "close c1 e1",
                                                      "kill c1  10 all"}));
  ASSERT_EQ(script_->execs.size(), 1U);
  EXPECT_EQ(script_->execs[0].process.args, std::vector<std::string>{"ls"});
  EXPECT_TRUE(script_->execs[0].process.terminal);
  EXPECT_EQ(script_->execs[0].stdio.in, "/in");
  EXPECT_EQ(script_->resources.memory->limit, 1048576);
}

TEST_F(TaskServiceTest, RuntimeOptionsLeadToTheConfiguration) {
  runtimeoptions::v1::Options options;
  options.set_config_path("/from/start");
  google::protobuf::Any any;
  any.set_type_url("runtimeoptions.v1.Options");
  any.set_value(options.SerializeAsString());
  start_options_ = any.SerializeAsString();
  load_error_ = Error(Code::kNotFound, "no file");
  serve_and([&, this]() -> Awaitable<> {
    const auto client = co_await connect();
    auto create = create_request("c1");
    co_await failure(client, "Create", create);
    options.set_config_path("/from/create");
    options.set_config_body("[runtime]");
    create.mutable_options()->set_type_url("type.googleapis.com/runtimeoptions.v1.Options");
    create.mutable_options()->set_value(options.SerializeAsString());
    co_await failure(client, "Create", create);
    create.mutable_options()->set_type_url("containerd.runc.v1.Options");
    create.mutable_options()->set_value("\xff");
    co_await failure(client, "Create", create);
    create.mutable_options()->set_type_url("runtimeoptions.v1.Options");
    EXPECT_EQ((co_await failure(client, "Create", create)).code(), Code::kInvalidArgument);
  });
  ASSERT_EQ(loaded_.size(), 3U);
  EXPECT_EQ(loaded_[0].config_path, "/from/start");
  EXPECT_EQ(loaded_[1].config_path, "/from/create");
  EXPECT_EQ(loaded_[1].config_body, "[runtime]");
  EXPECT_EQ(loaded_[2].config_path, "");
  EXPECT_EQ(loaded_[0].annotations.at("k"), "v");
}

TEST_F(TaskServiceTest, ManyWaitersAndCallsAtOnce) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    size_t answered = 0;
    TaskGroup waiters(loop_.get_executor(),
                      [](std::string_view, const Error& error) { ADD_FAILURE() << error.message(); });
    for (int i = 0; i < 100; ++i) {
      waiters.spawn(
          "wait",
          [](TaskServiceTest& self, std::shared_ptr<ttrpc::Client> peer, size_t& count) -> Awaitable<> {
            const auto exit =
                co_await self.call<proto::WaitResponse>(peer, "Wait", of<proto::WaitRequest>("c1"));
            EXPECT_EQ(exit.exit_status(), 137U);
            ++count;
          }(*this, client, answered));
    }
    co_await call<proto::StateResponse>(client, "State", of<proto::StateRequest>("c1"));
    EXPECT_EQ(answered, 0U);
    auto kill = of<proto::KillRequest>("c1");
    kill.set_signal(9);
    co_await call(client, "Kill", kill);
    co_await waiters.join();
    EXPECT_EQ(answered, 100U);
  });
}

TEST_F(TaskServiceTest, GarbageEndsOnlyItsOwnConnection) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    for (const std::string& bytes :
         {std::string(4096, '\xff'), std::string("GET / HTTP/1.1\r\n\r\n"), std::string("\0", 1)}) {
      asio::local::stream_protocol::socket socket(loop_);
      const asio::local::stream_protocol::endpoint endpoint(root_ + "/shim");
      co_await socket.async_connect(endpoint, asio::use_awaitable);
      co_await asio::async_write(socket, asio::buffer(bytes), asio::use_awaitable);
      socket.shutdown(asio::socket_base::shutdown_send);
      // Until the shim has done with it.
      std::string answer(65536, '\0');
      boost::system::error_code end;
      while (!end)
        co_await socket.async_read_some(asio::buffer(answer), asio::redirect_error(asio::use_awaitable, end));
    }
    co_await call<proto::StateResponse>(client, "State", of<proto::StateRequest>("c1"));
  });
}

TEST_F(TaskServiceTest, ACreateOutlivesItsCaller) {
  script_->create_gate = std::make_shared<kata::Event>(loop_.get_executor());
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    TaskGroup calls(loop_.get_executor(), [](std::string_view, const Error&) {});
    calls.spawn("create", [](TaskServiceTest& self, std::shared_ptr<ttrpc::Client> peer) -> Awaitable<> {
      co_await self.call<proto::CreateTaskResponse>(peer, "Create", self.create_request("c1"));
    }(*this, client));
    const auto other = co_await connect();
    while (script_->calls.empty())
      co_await call<proto::ConnectResponse>(other, "Connect", of<proto::ConnectRequest>("c1"));
    client->close();
    co_await calls.join();
    script_->create_gate->set();
    co_await containerd_->until(1);
    const auto state = co_await call<proto::StateResponse>(other, "State", of<proto::StateRequest>("c1"));
    EXPECT_EQ(state.status(), containerd::v1::types::CREATED);
  });
}

TEST_F(TaskServiceTest, AHangingCallIsAnsweredInTimeAndGoesOn) {
  answer_limit_ = std::chrono::milliseconds(50);
  script_->kill_gate = std::make_shared<kata::Event>(loop_.get_executor());
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    co_await create_and_start(client, "c1");
    auto kill = of<proto::KillRequest>("c1");
    kill.set_signal(9);
    const Error error = co_await failure(client, "Kill", kill);
    EXPECT_EQ(error.code(), Code::kDeadlineExceeded);
    EXPECT_EQ(error.message(), "Kill: not done within 50 ms");
    script_->kill_gate->set();
    const auto exit = co_await call<proto::WaitResponse>(client, "Wait", of<proto::WaitRequest>("c1"));
    EXPECT_EQ(exit.exit_status(), 137U);
  });
}

TEST_F(TaskServiceTest, ShutdownLetsACreateFinish) {
  script_->create_gate = std::make_shared<kata::Event>(loop_.get_executor());
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    TaskGroup calls(loop_.get_executor(),
                    [](std::string_view, const Error& error) { ADD_FAILURE() << error.message(); });
    calls.spawn("create", [](TaskServiceTest& self, std::shared_ptr<ttrpc::Client> peer) -> Awaitable<> {
      co_await self.call<proto::CreateTaskResponse>(peer, "Create", self.create_request("c1"));
    }(*this, client));
    calls.spawn("shutdown", shut_down(client));
    while (script_->calls.empty())
      co_await call<proto::ConnectResponse>(client, "Connect", of<proto::ConnectRequest>("c1"));
    script_->create_gate->set();
    co_await calls.join();
    // The container was there in the end, so the shim stays.
    co_await call<proto::StateResponse>(client, "State", of<proto::StateRequest>("c1"));
    EXPECT_FALSE(ended_);
    shut_down_ = false;
  });
}

}  // namespace
}  // namespace kata::shim
