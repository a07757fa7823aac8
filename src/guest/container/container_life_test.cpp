// Life of containers: streams, exit codes, signals, exec, what is left.
#include <csignal>
#include <filesystem>
#include <fstream>

#include "guest/container/testing/box.h"
#include "lib/async/task_group.h"
#include "lib/error/error.h"
#include "lib/linux/mount.h"

namespace fs = std::filesystem;

namespace kata::container {
namespace {

using ContainerPtr = std::shared_ptr<Container>;

class LifeTest : public BoxTest {
 protected:
  ContainerPtr running(LaunchSpec launch) {
    auto body = [](const cgroup::Hierarchy& hierarchy, LaunchSpec spec) -> Awaitable<ContainerPtr> {
      auto container = co_await Container::create(hierarchy, std::move(spec));
      co_await container->start();
      co_return container;
    };
    return drive(body(hierarchy(), std::move(launch)));
  }
  std::shared_ptr<Process> exec(const ContainerPtr& container, std::vector<std::string> args) {
    oci::Process process = *container->spec().process;
    process.args = std::move(args);
    return drive(container->exec(std::move(process)));
  }
};

size_t open_descriptors() {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

TEST_F(LifeTest, StreamsAreApart) {
  const Output output = run_container(shell("echo hello; echo oops >&2"));
  EXPECT_EQ(output.code, 0);
  EXPECT_EQ(output.out, "hello\n");
  EXPECT_EQ(output.err, "oops\n");
}

TEST_F(LifeTest, ExitCodes) {
  const struct {
    const char* script;
    int code;
  } rows[] = {{"exit 0", 0},
              {"exit 3", 3},
              {"exit 255", 255},
              {"nonsense", 127},
              {"sh -c 'kill -9 $$'; exit $?", 137},
              {"exec true", 0},
              {"exec false", 1}};
  for (const auto& row : rows) EXPECT_EQ(run_container(shell(row.script)).code, row.code) << row.script;
}

TEST_F(LifeTest, StandardInputIsPassedAndClosed) {
  const auto container = running(spec({"cat"}));
  const auto process = container->init();
  auto talk = [](std::shared_ptr<Process> p) -> Awaitable<std::string> {
    const std::string text = "through and back\n";
    EXPECT_EQ(co_await p->write_stdin(text), text.size());
    std::string answer = co_await p->read_stdout(100);
    EXPECT_EQ(co_await p->write_stdin(""), 0U);
    EXPECT_EQ(co_await p->wait(), 0);
    co_return answer;
  };
  EXPECT_EQ(drive(talk(process)), "through and back\n");
  EXPECT_THROW(drive(process->write_stdin("x")), Error);
  drive(container->destroy());
}

// More than the pipes hold, in both directions at once: nobody may wait for the other for ever.
TEST_F(LifeTest, LargeStreamsFlow) {
  const auto container = running(spec({"cat"}));
  auto talk = [](std::shared_ptr<Process> p) -> Awaitable<size_t> {
    const std::string data(size_t{4} << 20, 'x');
    TaskGroup group(co_await asio::this_coro::executor,
                    [](auto, const Error& error) { ADD_FAILURE() << error.what(); });
    auto feed = [](std::shared_ptr<Process> process, const std::string& bytes) -> Awaitable<> {
      EXPECT_EQ(co_await process->write_stdin(bytes), bytes.size());
      process->close_stdin();
    };
    group.spawn("feed", feed(p, data));
    size_t total = 0;
    for (;;) {
      const std::string chunk = co_await p->read_stdout(32768);
      if (chunk.empty()) break;
      EXPECT_LE(chunk.size(), 32768U);
      total += chunk.size();
    }
    co_await group.join();
    co_return total;
  };
  EXPECT_EQ(drive(talk(container->init())), size_t{4} << 20);
  drive(container->destroy());
}

TEST_F(LifeTest, ManyWaitersGetTheCode) {
  const auto container = running(shell("read line; exit 7"));
  auto wait = [](std::shared_ptr<Process> p) -> Awaitable<int> {
    int sum = 0;
    TaskGroup group(co_await asio::this_coro::executor,
                    [](auto, const Error& error) { ADD_FAILURE() << error.what(); });
    auto add = [](std::shared_ptr<Process> process, int& total) -> Awaitable<> {
      total += co_await process->wait();
    };
    for (int i = 0; i < 3; ++i) group.spawn("wait", add(p, sum));
    p->close_stdin();
    co_await group.join();
    co_return sum + co_await p->wait();
  };
  EXPECT_EQ(drive(wait(container->init())), 28);
  EXPECT_EQ(container->state(), State::kStopped);
  drive(container->destroy());
}

// A child that outlives the process keeps the pipe open: the stream ends half a second later all the same.
TEST_F(LifeTest, OutputEndsSoonAfterTheProcess) {
  auto launch = shell("(sleep 1000) & echo last words; exit 0");
  // The agent's pid namespace, so that the child survives its parent.
  std::erase_if(launch.spec.linux_config->namespaces, [](const auto& n) { return n.type == "pid"; });
  const auto before = std::chrono::steady_clock::now();
  const Output output = run_container(std::move(launch));
  EXPECT_EQ(output.out, "last words\n");
  EXPECT_EQ(output.code, 0);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
}

TEST_F(LifeTest, SignalsReachTheProcess) {
  const struct {
    const char* script;
    int signal, code;
  } rows[] = {{"trap 'exit 5' TERM; echo up; while true; do sleep 0.05; done", SIGTERM, 5},
              {"echo up; while true; do sleep 0.05; done", SIGTERM, 137},
              {"trap 'exit 6' USR1; echo up; while true; do sleep 0.05; done", SIGUSR1, 6},
              {"echo up; sleep 1000", SIGKILL, 137}};
  for (const auto& row : rows) {
    const auto container = running(shell(row.script));
    EXPECT_EQ(drive(container->init()->read_stdout(10)), "up\n");
    container->init()->signal(0);
    container->init()->signal(row.signal);
    EXPECT_EQ(drive(container->init()->wait()), row.code) << row.script;
    EXPECT_NO_THROW(container->init()->signal(SIGKILL));
    drive(container->destroy());
  }
}

TEST_F(LifeTest, RefusesImpossibleSignals) {
  const auto container = running(shell("sleep 1000"));
  for (const int number : {-1, 65, 1000000}) {
    try {
      container->init()->signal(number);
      ADD_FAILURE() << number;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument);
    }
  }
  drive(container->destroy());
}

TEST_F(LifeTest, StatesAndOrder) {
  const auto container = drive(Container::create(hierarchy(), shell("sleep 1000")));
  EXPECT_EQ(container->state(), State::kCreated);
  drive(container->start());
  EXPECT_EQ(container->state(), State::kRunning);
  EXPECT_THROW(drive(container->start()), Error);
  EXPECT_THROW(drive(container->resume()), Error);
  drive(container->pause());
  EXPECT_EQ(container->state(), State::kPaused);
  EXPECT_THROW(drive(container->pause()), Error);
  drive(container->resume());
  EXPECT_EQ(container->state(), State::kRunning);
  drive(container->signal_all(SIGKILL));
  EXPECT_EQ(drive(container->init()->wait()), 137);
  EXPECT_EQ(container->state(), State::kStopped);
  EXPECT_THROW(exec(container, {"true"}), Error);
  drive(container->destroy());
  drive(container->destroy());
}

TEST_F(LifeTest, PausedContainerCanBeDestroyed) {
  const auto container = running(shell("sleep 1000"));
  drive(container->pause());
  drive(container->destroy());
  EXPECT_EQ(container->state(), State::kStopped);
}

TEST_F(LifeTest, PauseStopsTheClock) {
  const auto container = running(shell("while true; do echo x; done >/dev/null"));
  drive(container->pause());
  const uint64_t before = container->stats().cpu.total;
  auto pause = []() -> Awaitable<> {
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(100));
    co_await timer.async_wait(asio::use_awaitable);
  };
  drive(pause());
  EXPECT_EQ(container->stats().cpu.total, before);
  drive(container->destroy());
}

TEST_F(LifeTest, CreatedContainerWaitsAndCanBeDropped) {
  const auto container = drive(Container::create(hierarchy(), shell("touch /tmp/ran")));
  drive(container->destroy());
  EXPECT_FALSE(fs::exists(rootfs() + "/tmp/ran"));
}

TEST_F(LifeTest, ExecRunsInside) {
  const auto container = [&] {
    auto launch = shell("sleep 1000");
    launch.spec.hostname = "box";
    return running(std::move(launch));
  }();
  Output output = drive(
      collect(exec(container, {"sh", "-c", "hostname; readlink /proc/self; ls /bin/busybox; echo $HOME"})));
  EXPECT_EQ(output.code, 0);
  EXPECT_TRUE(output.out.starts_with("box\n")) << output.out;
  EXPECT_TRUE(output.out.ends_with("/bin/busybox\n/root\n")) << output.out;
  output = drive(collect(exec(container, {"sh", "-c", "ps | grep -c 'sleep 1000'"})));
  EXPECT_NE(output.out, "0\n");
  EXPECT_EQ(drive(collect(exec(container, {"sh", "-c", "exit 9"}))).code, 9);
  drive(container->destroy());
}

TEST_F(LifeTest, ExecHasItsOwnUser) {
  const auto container = running(shell("sleep 1000"));
  oci::Process process = *container->spec().process;
  process.args = {"sh", "-c", "id -u; id -g; id -G; pwd; umask; echo $HOME"};
  process.user = {.uid = 1000, .gid = 1001, .umask = 077, .additional_gids = {7, 8}, .username = ""};
  process.cwd = "/home";
  const Output output = drive(collect(drive(container->exec(process))));
  EXPECT_EQ(output.out, "1000\n1001\n1001 7 8\n/home\n0077\n/home/user\n") << output.err;
  drive(container->destroy());
}

TEST_F(LifeTest, ExecErrorsAreNamed) {
  const auto container = running(shell("sleep 1000"));
  oci::Process process = *container->spec().process;
  const auto message = [&] {
    try {
      drive(container->exec(process));
    } catch (const Error& error) {
      return std::string(error.message());
    }
    return std::string();
  };
  process.args = {"nothing-there"};
  EXPECT_NE(message().find("exec: \"nothing-there\": executable file not found in $PATH"), std::string::npos);
  process.args = {"true"};
  process.cwd = "/nowhere";
  EXPECT_NE(message().find("chdir to cwd (\"/nowhere\") set in config.json failed"), std::string::npos)
      << message();
  drive(container->destroy());
}

TEST_F(LifeTest, EndOfInitEndsAll) {
  const auto container = running(shell("sleep 1000"));
  const auto second = exec(container, {"sleep", "1000"});
  container->init()->signal(SIGKILL);
  EXPECT_EQ(drive(second->wait()), 137);
  drive(container->destroy());
}

TEST_F(LifeTest, SharedPidNamespace) {
  const auto first = running(shell("sleep 1234"));
  auto launch = shell("ps");
  for (auto& entry : launch.spec.linux_config->namespaces) {
    if (entry.type == "pid") entry.path = "/proc/" + std::to_string(first->init()->pid()) + "/ns/pid";
  }
  const Output output = run_container(std::move(launch));
  EXPECT_NE(output.out.find("sleep 1234"), std::string::npos) << output.out << output.err;
  EXPECT_EQ(first->state(), State::kRunning);
  drive(first->destroy());
}

TEST_F(LifeTest, NothingIsLeft) {
  // The loop opens descriptors of its own at first use.
  run_container(shell("true"));
  const size_t descriptors = open_descriptors();
  for (int i = 0; i < 3; ++i) {
    run_container(shell("(sleep 1000) & echo x"));
    run_container(shell("echo x"));
    create_error(spec({"nothing-there"}));
    auto broken = shell("true");
    broken.spec.mounts.push_back({.destination = "/x",
                                  .source = "/no/such/file",
                                  .type = "bind",
                                  .options = {"bind"},
                                  .uid_mappings = {},
                                  .gid_mappings = {}});
    create_error(std::move(broken));
  }
  EXPECT_EQ(open_descriptors(), descriptors);
  EXPECT_TRUE(kernel::mounts_below(folder()).empty());
  for (const auto& [controller, mount] : hierarchy().controllers)
    EXPECT_FALSE(fs::exists(mount + "/kata-test")) << mount;
}

// Whoever forgets destroy() loses the poststop hooks, nothing else.
TEST_F(LifeTest, DroppedContainerIsGone) {
  for (const char* script : {"sleep 1000", "sleep 1000 & sleep 1000"}) {
    auto container = running(shell(script));
    const pid_t pid = container->init()->pid();
    container.reset();
    EXPECT_NE(::kill(pid, 0), 0);
  }
  for (const auto& [controller, mount] : hierarchy().controllers)
    EXPECT_FALSE(fs::exists(mount + "/kata-test")) << mount;
}

TEST_F(LifeTest, OneIdOnce) {
  auto launch = shell("sleep 1000");
  const auto first = running(launch);
  Code code{};
  EXPECT_NE(create_error(launch, &code).find("in use"), std::string::npos);
  EXPECT_EQ(code, Code::kAlreadyExists);
  EXPECT_EQ(first->state(), State::kRunning);
  drive(first->destroy());
}

TEST_F(LifeTest, OwnedPidsAreKnown) {
  const auto container = running(shell("sleep 1000"));
  const pid_t pid = container->init()->pid();
  EXPECT_TRUE(owns_pid(pid));
  drive(container->destroy());
  EXPECT_FALSE(owns_pid(pid));
}

}  // namespace
}  // namespace kata::container
