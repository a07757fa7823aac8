#include "guest/container/testing/box.h"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include <unistd.h>

#include "guest/container/testing/sample_spec.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"

namespace fs = std::filesystem;

namespace kata::container {
void BoxTest::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  if (::access("/bin/busybox", X_OK) != 0)
    GTEST_SKIP() << "needs a static /bin/busybox (package busybox-static)";
  try {
    hierarchy_ = cgroup::Hierarchy::detect();
  } catch (const Error& error) {
    GTEST_SKIP() << error.message();
  }
  std::string pattern = (fs::temp_directory_path() / "box.XXXXXX").string();
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  folder_ = pattern;
  ::chmod(folder_.c_str(), 0755);
  for (const char* name : {"bin", "etc", "proc", "sys", "dev", "tmp", "run", "root", "home/user"})
    fs::create_directories(rootfs() + "/" + name);
  fs::copy_file("/bin/busybox", rootfs() + "/bin/busybox");
  for (const char* name :
       {"sh",       "echo",  "cat",   "id",     "sleep", "true", "false", "ls",     "stat",  "mount",
        "kill",     "env",   "pwd",   "head",   "dd",    "grep", "touch", "stty",   "tty",   "hostname",
        "readlink", "mkdir", "chmod", "ps",     "wc",    "nice", "awk",   "chroot", "mknod", "sed",
        "sleep",    "test",  "tail",  "umount", "date",  "od",   "tr",    "seq"}) {
    std::error_code ignored;
    fs::create_symlink("busybox", rootfs() + "/bin/" + name, ignored);
  }
  write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
  write("/etc/group", "root:x:0:\nuser:x:1000:\n");
}

void BoxTest::TearDown() {
  if (!folder_.empty()) fs::remove_all(folder_);
}

void BoxTest::write(const std::string& path, const std::string& text, unsigned mode) const {
  const std::string full = rootfs() + path;
  std::ofstream(full) << text;
  ::chmod(full.c_str(), mode);
}

LaunchSpec BoxTest::spec(std::vector<std::string> args) const {
  static int count = 0;
  LaunchSpec launch = sample_spec(std::move(args), rootfs());
  launch.id = "box-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
  launch.bundle = folder_;
  launch.spec.linux_config->cgroups_path = "/kata-test/" + launch.id;
  return launch;
}

void BoxTest::run(Awaitable<> body) {
  std::exception_ptr failure;
  bool done = false;
  context_.restart();
  asio::co_spawn(context_, with_deadline(std::move(body), std::chrono::seconds(60), "test"),
                 [&](std::exception_ptr error) {
                   failure = error;
                   done = true;
                 });
  while (!done && context_.run_one() > 0) continue;
  // What the body has left to unwind.
  context_.poll();
  if (failure) std::rethrow_exception(failure);
}

Awaitable<Output> BoxTest::collect(std::shared_ptr<Process> process) {
  Output output;
  for (;;) {
    const std::string chunk = co_await process->read_stdout(4096);
    if (chunk.empty()) break;
    output.out += chunk;
  }
  while (!process->terminal()) {
    const std::string chunk = co_await process->read_stderr(4096);
    if (chunk.empty()) break;
    output.err += chunk;
  }
  output.code = co_await process->wait();
  process->close_streams();
  co_return output;
}

Output BoxTest::run_container(LaunchSpec launch) {
  auto body = [](const cgroup::Hierarchy& hierarchy, LaunchSpec spec) -> Awaitable<Output> {
    const auto container = co_await Container::create(hierarchy, std::move(spec));
    std::exception_ptr failure;
    Output output;
    try {
      co_await container->start();
      container->init()->close_stdin();
      output = co_await collect(container->init());
    } catch (...) {
      failure = std::current_exception();
    }
    co_await container->destroy();
    if (failure) std::rethrow_exception(failure);
    co_return output;
  };
  return drive(body(hierarchy_, std::move(launch)));
}

std::string BoxTest::create_error(LaunchSpec launch, Code* code) {
  auto body = [](const cgroup::Hierarchy& hierarchy, LaunchSpec spec) -> Awaitable<> {
    const auto container = co_await Container::create(hierarchy, std::move(spec));
    co_await container->destroy();
  };
  try {
    drive(body(hierarchy_, std::move(launch)));
  } catch (const Error& error) {
    if (code != nullptr) *code = error.code();
    return error.message();
  }
  return "";
}

}  // namespace kata::container

// The engine starts this program again as its init stage.
int main(int argc, char** argv) {
  if (kata::container::is_init_stage(argc, argv)) return kata::container::run_init_stage();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
