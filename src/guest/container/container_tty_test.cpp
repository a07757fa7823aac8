// Terminals.
#include <csignal>

#include "guest/container/testing/box.h"
#include "lib/async/deadline.h"

namespace kata::container {
namespace {

class TerminalTest : public BoxTest {
 protected:
  std::shared_ptr<Container> running(LaunchSpec launch) {
    auto body = [](const cgroup::Hierarchy& where, LaunchSpec spec) -> Awaitable<std::shared_ptr<Container>> {
      auto container = co_await Container::create(where, std::move(spec));
      co_await container->start();
      co_return container;
    };
    return drive(body(hierarchy(), std::move(launch)));
  }
  LaunchSpec terminal(const std::string& script) const {
    auto launch = shell(script);
    launch.spec.process->terminal = true;
    launch.spec.process->console_size = oci::Box{.height = 30, .width = 100};
    return launch;
  }
  // Reads until `end` has come.
  std::string read_until(const std::shared_ptr<Process>& process, const std::string& end) {
    auto body = [](std::shared_ptr<Process> p, std::string wanted) -> Awaitable<std::string> {
      std::string text;
      while (text.find(wanted) == std::string::npos) {
        const std::string chunk = co_await p->read_stdout(4096);
        if (chunk.empty()) break;
        text += chunk;
      }
      co_return text;
    };
    return drive(body(process, end));
  }
};

TEST_F(TerminalTest, IsATerminalOfTheContainer) {
  const Output output = run_container(
      terminal("tty; stty size; ls -l /dev/console | cut -c1; stat -c %t:%T /dev/pts/ptmx; echo e >&2"));
  EXPECT_EQ(output.out, "/dev/pts/0\r\n30 100\r\nc\r\n5:2\r\ne\r\n");
  EXPECT_EQ(output.code, 0);
}

TEST_F(TerminalTest, ResizeAndInterrupt) {
  const auto container = running(terminal(
      "trap 'stty size' WINCH; trap 'echo int; exit 4' INT; echo up; while true; do sleep 0.05; done"));
  read_until(container->init(), "up\r\n");
  container->init()->resize(40, 120);
  read_until(container->init(), "40 120\r\n");
  drive(container->init()->write_stdin("\x03"));
  EXPECT_NE(read_until(container->init(), "int\r\n").find("int"), std::string::npos);
  EXPECT_EQ(drive(container->init()->wait()), 4);
  drive(container->destroy());
}

TEST_F(TerminalTest, EndOfTheProgramEndsTheStream) {
  const auto container = running(terminal("read line; echo got $line"));
  drive(container->init()->write_stdin("text\n"));
  EXPECT_EQ(drive(collect(container->init())).out, "text\r\ngot text\r\n");
  drive(container->destroy());
}

// More than a terminal hands out at once, read long after the end.
TEST_F(TerminalTest, OutputStaysForALateReader) {
  const auto container = running(terminal("yes 0123456 | head -n 700"));
  EXPECT_EQ(drive(container->init()->wait()), 0);
  drive(pause_for(std::chrono::milliseconds(700)));
  EXPECT_EQ(drive(collect(container->init())).out.size(), 6300U);
  drive(container->destroy());
}

TEST_F(TerminalTest, ExecHasATerminalOfItsOwn) {
  const auto container = running(shell("sleep 1000"));
  oci::Process process = *container->spec().process;
  process.args = {"sh", "-c", "tty; stty size; id -u"};
  process.terminal = true;
  process.user.uid = 1000;
  process.console_size = oci::Box{.height = 5, .width = 6};
  EXPECT_EQ(drive(collect(drive(container->exec(process)))).out, "/dev/pts/0\r\n5 6\r\n1000\r\n");
  EXPECT_THROW(container->init()->resize(1, 1), Error);
  drive(container->destroy());
}

TEST_F(TerminalTest, NeedsADevpts) {
  auto launch = terminal("tty");
  std::erase_if(launch.spec.mounts, [](const auto& mount) { return mount.destination == "/dev/pts"; });
  EXPECT_NE(create_error(launch).find("/dev/pts/ptmx"), std::string::npos);
}

}  // namespace
}  // namespace kata::container
