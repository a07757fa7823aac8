// The sandbox without a VM: a driver that starts nothing, a real shared tree and virtiofsd, and a scripted
// agent on a Unix socket.
#include "host/sandbox/sandbox_impl.h"

#include <csignal>
#include <filesystem>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "host/resource/cgroup/fake_node_files.h"
#include "host/sandbox/scripted_agent.h"
#include "host/vmm/fake_driver.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::sandbox {
namespace {

using std::chrono_literals::operator""s;

class RecordingSink : public EventSink {
 public:
  void on_exit(const std::string& container_id, const std::string& exec_id, uint32_t,
               const ExitInfo& exit) override {
    events.push_back("exit " + container_id + "/" + exec_id + " " + std::to_string(exit.status));
  }
  void on_oom(const std::string& container_id) override { events.push_back("oom " + container_id); }
  std::vector<std::string> events;
};

class SandboxTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0)
      GTEST_SKIP() << "needs root for a mount namespace of its own";
    if (!std::filesystem::exists("/usr/lib/qemu/virtiofsd") &&
        !std::filesystem::exists("/usr/libexec/virtiofsd")) {
      GTEST_SKIP() << "no virtiofsd on this machine";
    }
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr), 0);
    char name[] = "/tmp/kata-sandbox-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    std::filesystem::create_directories(dir_ + "/bundle/rootfs");
    agent_ = std::make_unique<ScriptedAgent>(context_, dir_ + "/agent.sock");
    make_sandbox();
  }

  void TearDown() override {
    if (dir_.empty()) return;
    if (sandbox_) run(sandbox_->stop());
    EXPECT_FALSE(std::filesystem::exists(dir_ + "/run/s1"));
    EXPECT_THAT(cgroup_files_->folders, testing::IsEmpty());
    EXPECT_FALSE(std::filesystem::exists(dir_ + "/share/s1"));
    EXPECT_THAT(kernel::mounts_below(dir_), testing::IsEmpty());
    agent_->close();
    context_.restart();
    context_.poll();
    std::filesystem::remove_all(dir_);
  }

  void make_sandbox(const std::function<void(config::Config&)>& change = nullptr) {
    SandboxParts parts;
    parts.run_root = dir_ + "/run";
    parts.share_base = dir_ + "/share";
    parts.make_cgroup = [this](node_cgroup::CgroupPlan plan) {
      kernel::CgroupLayout layout{.version = kernel::CgroupVersion::kV1,
                                  .unified = {},
                                  .controllers = {{"cpu", "/c/cpu"}, {"memory", "/c/memory"}}};
      return std::make_unique<node_cgroup::SandboxCgroup>(cgroup_files_, std::move(layout), std::move(plan));
    };
    parts.make_driver = [this](const std::string&, const asio::any_io_executor& executor) {
      auto driver = std::make_unique<vmm::FakeDriver>(executor);
      driver_ = driver.get();
      if (start_error_) driver->fail_start_with(*start_error_);
      return driver;
    };
    parts.make_transport = [this](vsock::TransportConfig) -> Awaitable<std::unique_ptr<vsock::Transport>> {
      co_return vsock::Transport::remote(dir_ + "/agent.sock");
    };
    SandboxConfig config{.id = "s1", .containerd_namespace = "test", .config = {}};
    config.config.hypervisor_name = "qemu";
    config.config.hypervisor.default_memory = 256;
    config.config.hypervisor.shared_fs = "virtio-fs";
    config.config.agent.reconnect_timeout_ms = 10000;
    if (change) change(config.config);
    sandbox_ =
        std::make_shared<SandboxImpl>(context_.get_executor(), std::move(config), sink_, std::move(parts));
  }

  template <typename T>
  T run(Awaitable<T> task) {
    auto future = asio::co_spawn(context_, with_deadline(std::move(task), 20s, "test"), asio::use_future);
    context_.restart();
    while (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready && context_.run_one() > 0) {
    }
    return future.get();
  }

  Code code_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      last_message_ = error.message();
      return error.code();
    }
    return Code::kOk;
  }

  ContainerRequest request(const std::string& id) const {
    ContainerRequest result;
    result.id = id;
    result.bundle = dir_ + "/bundle";
    return result;
  }

  asio::io_context context_;
  std::string dir_;
  std::shared_ptr<node_cgroup::FakeNodeFiles> cgroup_files_ = std::make_shared<node_cgroup::FakeNodeFiles>();
  std::string last_message_;
  std::optional<Error> start_error_;
  std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
  std::unique_ptr<ScriptedAgent> agent_;
  vmm::FakeDriver* driver_ = nullptr;
  std::shared_ptr<SandboxImpl> sandbox_;
};

TEST_F(SandboxTest, ALifeFromCreateToDelete) {
  EXPECT_EQ(run(sandbox_->create_container(request("s1"))), static_cast<uint32_t>(driver_->pid()));
  EXPECT_EQ(sandbox_->status("s1", "").state, ProcessState::kCreated);
  run(sandbox_->start("s1", ""));
  EXPECT_EQ(sandbox_->status("s1", "").state, ProcessState::kRunning);
  EXPECT_EQ(code_of([&] { run(sandbox_->start("s1", "")); }), Code::kFailedPrecondition);
  EXPECT_EQ(code_of([&] { run(sandbox_->remove("s1", "")); }), Code::kFailedPrecondition);
  agent_->end_process("s1", 3);
  EXPECT_EQ(run(sandbox_->wait("s1", "")).status, 3U);
  EXPECT_EQ(run(sandbox_->wait("s1", "")).status, 3U);
  EXPECT_THAT(sink_->events, testing::ElementsAre("exit s1/ 3"));
  EXPECT_EQ(code_of([&] { run(sandbox_->kill("s1", "", SIGKILL, Sandbox::KillScope::kProcess)); }),
            Code::kNotFound);
  EXPECT_EQ(run(sandbox_->remove("s1", "")).status, 3U);
  EXPECT_EQ(code_of([&] { run(sandbox_->remove("s1", "")); }), Code::kNotFound);
  run(sandbox_->stop());
  EXPECT_GE(driver_->stops(), 1U);
  EXPECT_THAT(agent_->calls, testing::Contains("RemoveContainer"));
}

TEST_F(SandboxTest, OutputReachesAFileAndExecsEndBeforeTheirContainer) {
  auto wanted = request("s1");
  wanted.stdio.out = "file://" + dir_ + "/out";
  agent_->output["s1"] = {"hello ", std::string("w\0rld", 5)};
  run(sandbox_->create_container(std::move(wanted)));
  run(sandbox_->start("s1", ""));
  ExecRequest exec;
  exec.container_id = "s1";
  exec.exec_id = "e1";
  sandbox_->add_exec(exec);
  EXPECT_EQ(code_of([&] { sandbox_->add_exec(exec); }), Code::kAlreadyExists);
  EXPECT_EQ(code_of([&] { run(sandbox_->kill("s1", "e1", SIGTERM, Sandbox::KillScope::kProcess)); }),
            Code::kFailedPrecondition);
  run(sandbox_->start("s1", "e1"));
  agent_->end_process("s1", 0);
  agent_->end_process("s1e1", 7);
  run(sandbox_->wait("s1", ""));
  EXPECT_THAT(sink_->events, testing::ElementsAre("exit s1/e1 7", "exit s1/ 0"));
  EXPECT_EQ(read_file(dir_ + "/out"), std::string("hello w\0rld", 11));
  EXPECT_EQ(run(sandbox_->remove("s1", "e1")).status, 7U);
}

TEST_F(SandboxTest, AContainerGivenUpOnItsWayIntoTheGuestDoesNotArrive) {
  for (const bool killed : {true, false}) {
    SCOPED_TRACE(killed ? "killed" : "deleted");
    agent_->create_begun = std::make_unique<Event>(context_.get_executor());
    std::string failure;
    asio::co_spawn(context_, sandbox_->create_container(request("s1")),
                   [&](const std::exception_ptr& failed, uint32_t) {
                     failure = failed ? to_error(failed).message() : "created";
                   });
    run(agent_->create_begun->wait());
    EXPECT_EQ(code_of([&] { run(sandbox_->kill("s1", "", SIGHUP, Sandbox::KillScope::kProcess)); }),
              Code::kFailedPrecondition);
    ExitInfo seen;
    asio::co_spawn(context_, sandbox_->wait("s1", ""),
                   [&](const std::exception_ptr&, const ExitInfo& exit) { seen = exit; });
    if (killed) run(sandbox_->kill("s1", "", SIGKILL, Sandbox::KillScope::kAll));
    EXPECT_EQ(run(sandbox_->remove("s1", "")).status, 137U);
    EXPECT_EQ(seen.status, 137U);
    EXPECT_EQ(failure, "container s1 was given up while it was being created");
    EXPECT_TRUE(sandbox_->containers().empty());
    EXPECT_GE(driver_->stops(), 1U);
    make_sandbox();
  }
}

TEST_F(SandboxTest, AContainerPausesWhileAnExecStarts) {
  run(sandbox_->create_container(request("s1")));
  run(sandbox_->start("s1", ""));
  ExecRequest exec;
  exec.container_id = "s1";
  exec.exec_id = agent_->slow_exec = "slow";
  sandbox_->add_exec(exec);
  // It outlives the test: what has not started is ended by the tear-down.
  const auto started = std::make_shared<bool>(false);
  asio::co_spawn(context_, sandbox_->start("s1", "slow"),
                 [started](const std::exception_ptr&, uint32_t) { *started = true; });
  run(sandbox_->pause("s1"));
  run(sandbox_->resume("s1"));
  EXPECT_FALSE(*started);
  agent_->let_exec_go.set();
}

TEST_F(SandboxTest, AnEndedExecIsDeletedWhileAnotherStarts) {
  run(sandbox_->create_container(request("s1")));
  run(sandbox_->start("s1", ""));
  ExecRequest exec;
  exec.container_id = "s1";
  for (const char* id : {"ended", "slow", "created"}) {
    exec.exec_id = id;
    sandbox_->add_exec(exec);
  }
  run(sandbox_->start("s1", "ended"));
  agent_->slow_exec = "slow";
  bool started = false;
  asio::co_spawn(context_, sandbox_->start("s1", "slow"),
                 [&](const std::exception_ptr&, uint32_t) { started = true; });
  agent_->end_process("s1ended", 4);
  EXPECT_EQ(run(sandbox_->wait("s1", "ended")).status, 4U);
  EXPECT_EQ(run(sandbox_->remove("s1", "ended")).status, 4U);
  EXPECT_FALSE(started);
  EXPECT_EQ(code_of([&] { std::ignore = sandbox_->status("s1", "ended"); }), Code::kNotFound);
  bool removed = false;
  asio::co_spawn(context_, sandbox_->remove("s1", "created"),
                 [&](const std::exception_ptr&, const ExitInfo&) { removed = true; });
  agent_->let_exec_go.set();
  agent_->end_process("s1", 0);
  run(sandbox_->wait("s1", ""));
  EXPECT_TRUE(started);
  EXPECT_TRUE(removed);
}

TEST_F(SandboxTest, ExecsRunOnlyInWhatRuns) {
  const auto exec = [](const std::string& id) {
    ExecRequest request;
    request.container_id = "s1";
    request.exec_id = id;
    return request;
  };
  run(sandbox_->create_container(request("s1")));
  sandbox_->add_exec(exec("early"));
  EXPECT_EQ(code_of([&] { run(sandbox_->start("s1", "early")); }), Code::kFailedPrecondition);
  EXPECT_NE(last_message_.find("not started yet"), std::string::npos) << last_message_;
  run(sandbox_->start("s1", ""));
  run(sandbox_->pause("s1"));
  EXPECT_EQ(code_of([&] { run(sandbox_->start("s1", "early")); }), Code::kFailedPrecondition);
  EXPECT_NE(last_message_.find("paused"), std::string::npos) << last_message_;
  EXPECT_EQ(code_of([&] { sandbox_->add_exec(exec("paused")); }), Code::kFailedPrecondition);
  run(sandbox_->resume("s1"));
  run(sandbox_->start("s1", "early"));
  agent_->end_process("s1early", 0);
  agent_->end_process("s1", 0);
  run(sandbox_->wait("s1", ""));
  EXPECT_EQ(code_of([&] { sandbox_->add_exec(exec("late")); }), Code::kFailedPrecondition);
  EXPECT_NE(last_message_.find("has ended"), std::string::npos) << last_message_;
}

TEST_F(SandboxTest, ATerminalKeepsTheSizeItGotBeforeItsStart) {
  run(sandbox_->create_container(request("s1")));
  run(sandbox_->start("s1", ""));
  ExecRequest exec;
  exec.container_id = "s1";
  exec.exec_id = "e1";
  exec.stdio.terminal = true;
  sandbox_->add_exec(exec);
  run(sandbox_->resize("s1", "e1", 132, 50));
  EXPECT_TRUE(agent_->sizes.empty());
  run(sandbox_->start("s1", "e1"));
  EXPECT_THAT(agent_->sizes, testing::ElementsAre("start 50x132", "50x132"));
  agent_->end_process("s1e1", 0);
  run(sandbox_->wait("s1", "e1"));
  // No terminal, or no process any more: nothing to do, no error.
  run(sandbox_->resize("s1", "", 1, 1));
  run(sandbox_->resize("s1", "e1", 1, 1));
  EXPECT_EQ(agent_->sizes.size(), 2U);
  agent_->end_process("s1", 0);
}

TEST_F(SandboxTest, KillFollowsTheTableOfTheContract) {
  run(sandbox_->create_container(request("s1")));
  run(sandbox_->start("s1", ""));
  struct Row {
    const char* name;
    Error answer;
    uint32_t signal;
    Code code;
  };
  const Row rows[] = {
      {"gone, SIGKILL", {Code::kNotFound, "x"}, SIGKILL, Code::kOk},
      {"gone by text, SIGTERM", {Code::kInternal, "cannot find init process!"}, SIGTERM, Code::kOk},
      {"gone, SIGHUP", {Code::kNotFound, "x"}, SIGHUP, Code::kNotFound},
      {"connection lost, SIGTERM", {Code::kUnavailable, "closed"}, SIGTERM, Code::kOk},
      {"connection lost, SIGUSR1", {Code::kUnavailable, "closed"}, SIGUSR1, Code::kUnavailable},
      {"other failure, SIGKILL", {Code::kInternal, "EPERM"}, SIGKILL, Code::kInternal},
  };
  for (const Row& row : rows) {
    agent_->signal_error = row.answer;
    EXPECT_EQ(code_of([&] { run(sandbox_->kill("s1", "", row.signal, Sandbox::KillScope::kProcess)); }),
              row.code)
        << row.name;
  }
  EXPECT_EQ(code_of([&] { run(sandbox_->kill("s1", "", 65, Sandbox::KillScope::kProcess)); }),
            Code::kInvalidArgument);
  EXPECT_EQ(code_of([&] { run(sandbox_->kill("none", "", SIGKILL, Sandbox::KillScope::kProcess)); }),
            Code::kNotFound);
  EXPECT_EQ(code_of([&] { run(sandbox_->kill("s1", "none", SIGKILL, Sandbox::KillScope::kProcess)); }),
            Code::kNotFound);
  agent_->signal_error.reset();
  run(sandbox_->kill("s1", "", SIGKILL, Sandbox::KillScope::kAll));
  EXPECT_EQ(run(sandbox_->wait("s1", "")).status, 137U);
}

TEST_F(SandboxTest, FailedStartsLeaveNothingAndSayWhy) {
  agent_->refuse_create = true;
  EXPECT_EQ(code_of([&] { run(sandbox_->create_container(request("s1"))); }), Code::kNotFound);
  EXPECT_NE(last_message_.find("executable file not found in $PATH"), std::string::npos) << last_message_;
  EXPECT_TRUE(sandbox_->containers().empty());
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/run/s1"));
  start_error_ = Error(Code::kNotFound, "guest kernel /x not found");
  make_sandbox();
  EXPECT_EQ(code_of([&] { run(sandbox_->create_container(request("s1"))); }), Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/share/s1"));
  auto wanted = request("s1");
  wanted.stdio.out = "/no/such/fifo";
  start_error_.reset();
  make_sandbox();
  EXPECT_EQ(code_of([&] { run(sandbox_->create_container(std::move(wanted))); }), Code::kNotFound);
  EXPECT_NE(last_message_.find("/no/such/fifo"), std::string::npos);
  EXPECT_EQ(code_of([&] { run(sandbox_->create_container(request("../x"))); }), Code::kInvalidArgument);
}

TEST_F(SandboxTest, WithoutASharedFileSystem) {
  make_sandbox([](config::Config& config) { config.hypervisor.shared_fs.reset(); });
  EXPECT_EQ(code_of([&] { run(sandbox_->create_container(request("s1"))); }), Code::kFailedPrecondition);
  EXPECT_NE(last_message_.find("use a snapshotter whose snapshots are disks"), std::string::npos)
      << last_message_;
  make_sandbox([](config::Config& config) { config.hypervisor.shared_fs.reset(); });
  run(sandbox_->boot_empty(oci::Spec{}));
  ASSERT_TRUE(driver_->spec());
  EXPECT_THAT(driver_->spec()->shares, testing::IsEmpty());
  EXPECT_FALSE(driver_->spec()->memory.shared) << "nobody else maps it here";
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/share/s1"));
  run(sandbox_->stop());
  make_sandbox([](config::Config& config) { config.hypervisor.shared_fs = "virtio-fs-nydus"; });
  EXPECT_EQ(code_of([&] { run(sandbox_->boot_empty(oci::Spec{})); }), Code::kUnimplemented);
  EXPECT_NE(last_message_.find("virtio-fs-nydus"), std::string::npos) << last_message_;
}

TEST_F(SandboxTest, ADeadVmEndsEverythingWith255) {
  run(sandbox_->create_container(request("s1")));
  run(sandbox_->start("s1", ""));
  EXPECT_EQ(code_of([&] { run(sandbox_->create_container(request("s1"))); }), Code::kAlreadyExists);
  driver_->end({.code = 137, .signal = 9}, "QEMU was killed by signal 9");
  EXPECT_EQ(run(sandbox_->wait("s1", "")).status, 255U);
  run(sandbox_->stop());
  EXPECT_THAT(sink_->events, testing::ElementsAre("exit s1/ 255"));
  EXPECT_EQ(code_of([&] { run(sandbox_->create_container(request("c2"))); }), Code::kFailedPrecondition);
  EXPECT_EQ(run(sandbox_->remove("s1", "")).status, 255U);
}

TEST_F(SandboxTest, AVmWhoseAgentIsLostMayBeKept) {
  make_sandbox([](config::Config& config) { config.runtime.keep_abnormal = true; });
  run(sandbox_->create_container(request("s1")));
  run(sandbox_->start("s1", ""));
  agent_->break_connection();
  EXPECT_EQ(run(sandbox_->wait("s1", "")).status, 255U);
  run(pause_for(std::chrono::milliseconds(400)));
  EXPECT_EQ(driver_->stops(), 0U);
  run(sandbox_->remove("s1", ""));
}

TEST_F(SandboxTest, ALostAgentEndsTheSandbox) {
  run(sandbox_->create_container(request("s1")));
  run(sandbox_->start("s1", ""));
  agent_->break_connection();
  EXPECT_EQ(run(sandbox_->wait("s1", "")).status, 255U);
}

class SandboxHooksTest : public SandboxTest {
 protected:
  // Appends its name and the status of the state that it reads.
  oci::Hook hook(const std::string& name, const std::string& then = "true") const {
    return {.path = "/bin/sh",
            .args = {"sh", "-c",
                     "echo " + name + " $(grep -o '\"status\":\"[a-z]*\"' | cut -d: -f2) >> log; " + then},
            .env = {"PATH=/usr/bin:/bin"},
            .timeout = 10};
  }
  ContainerRequest hooked(const std::string& id) const {
    ContainerRequest wanted = request(id);
    wanted.spec.hooks.prestart = {hook("prestart")};
    wanted.spec.hooks.create_runtime = {hook("createRuntime")};
    wanted.spec.hooks.create_container = {hook("createContainer")};
    wanted.spec.hooks.start_container = {hook("startContainer")};
    wanted.spec.hooks.poststart = {hook("poststart", "exit 1")};
    wanted.spec.hooks.poststop = {hook("poststop", "exit 1")};
    return wanted;
  }
  [[nodiscard]] std::string log() const { return read_file(dir_ + "/bundle/log"); }
  [[nodiscard]] std::string state() const { return read_file(dir_ + "/run/s1/state.json"); }
};

TEST_F(SandboxHooksTest, EachAtItsPoint) {
  run(sandbox_->create_container(hooked("s1")));
  EXPECT_EQ(log(), "prestart \"creating\"\ncreateRuntime \"creating\"\n");
  EXPECT_THAT(state(), testing::HasSubstr(R"("hooked":[{"id":"s1",)"));
  run(sandbox_->create_container(hooked("c2")));
  EXPECT_THAT(log(), testing::EndsWith("creating\"\nprestart \"creating\"\ncreateRuntime \"creating\"\n"));
  std::filesystem::remove(dir_ + "/bundle/log");
  run(sandbox_->start("s1", ""));
  EXPECT_EQ(log(), "poststart \"running\"\n");
  agent_->end_process("s1", 0);
  run(sandbox_->wait("s1", ""));
  EXPECT_EQ(log(), "poststart \"running\"\n");
  run(sandbox_->remove("s1", ""));
  EXPECT_EQ(log(), "poststart \"running\"\npoststop \"stopped\"\n");
  EXPECT_THAT(state(), testing::HasSubstr(R"("hooked":[{"id":"c2",)"));
  run(sandbox_->remove("c2", ""));
  EXPECT_THAT(state(), testing::HasSubstr(R"("hooked":[])"));
}

TEST_F(SandboxHooksTest, OneThatFailsEarlyFailsTheCreateAndTheLastOnesAreRun) {
  auto wanted = hooked("s1");
  wanted.spec.hooks.create_runtime.insert(wanted.spec.hooks.create_runtime.begin(),
                                          hook("bad", "echo the cause >&2; exit 3"));
  EXPECT_EQ(code_of([&] { run(sandbox_->create_container(std::move(wanted))); }), Code::kFailedPrecondition);
  EXPECT_THAT(last_message_, testing::HasSubstr("createRuntime hook #0 /bin/sh: exit code 3: the cause"));
  EXPECT_EQ(log(), "prestart \"creating\"\nbad \"creating\"\npoststop \"stopped\"\n");
  EXPECT_THAT(sandbox_->containers(), testing::IsEmpty());
}

TEST_F(SandboxHooksTest, TheContainerRunsWhenTheNamespaceIsGoneAtTheStart) {
  run(sandbox_->create_container(request("s1")));
  auto wanted = request("c2");
  wanted.spec.linux_config.emplace();
  wanted.spec.linux_config->namespaces.push_back({.type = "network", .path = "/no/such/namespace"});
  wanted.spec.hooks.poststart = {hook("poststart")};
  run(sandbox_->create_container(wanted));
  run(sandbox_->start("c2", ""));
  EXPECT_EQ(sandbox_->status("c2", "").state, ProcessState::kRunning);
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/bundle/log"));
  wanted.id = "c3";
  wanted.spec.hooks.prestart = {hook("prestart")};
  EXPECT_NE(code_of([&] { run(sandbox_->create_container(wanted)); }), Code::kOk);
  EXPECT_THAT(last_message_, testing::HasSubstr("opening the network namespace /no/such/namespace"));
}

TEST_F(SandboxHooksTest, ANewNetworkNamespaceIsThereForThemToFill) {
  auto wanted = request("s1");
  wanted.spec.linux_config.emplace();
  wanted.spec.linux_config->namespaces.push_back({.type = "network", .path = ""});
  const std::string look =
      "pid=$(grep -o '\"pid\":[0-9]*' | cut -d: -f2); readlink /proc/self/ns/net /proc/$pid/ns/net >> log";
  wanted.spec.hooks.create_runtime = {
      {.path = "/bin/sh", .args = {"sh", "-c", look}, .env = {"PATH=/usr/bin:/bin"}, .timeout = 10}};
  run(sandbox_->create_container(std::move(wanted)));
  const std::string seen = log();
  const std::string own = std::filesystem::read_symlink("/proc/self/ns/net").string() + "\n";
  ASSERT_THAT(seen, testing::StartsWith(own));
  EXPECT_THAT(seen.substr(own.size()), testing::StartsWith("net:["));
  EXPECT_NE(seen.substr(own.size()), own);
}

}  // namespace
}  // namespace kata::sandbox
