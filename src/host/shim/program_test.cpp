// The program as containerd calls it, with a sandbox in name only.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "host/shim/address.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"

#include "containerd/bootstrap.pb.h"
#include "containerd/task.pb.h"
#include "containerd/types/introspection.pb.h"

extern char** environ;

namespace kata::shim {
namespace {

namespace fs = std::filesystem;

struct Result {
  int code = -1;
  std::string out;
  std::string err;
};

class Program : public testing::Test {
 protected:
  Program() : root_(::mkdtemp(name_)) {
    sandbox_ = bundle("sb1", R"("io.kubernetes.cri.container-type":"sandbox")");
    ::setenv("KATA_FAKE_CLEANUP", (root_ + "/cleaned").c_str(), 1);
  }
  ~Program() override {
    // Whatever a failed test left running: the shims of these bundles, by their pid files.
    for (const auto& entry : fs::directory_iterator(root_)) {
      const pid_t pid = pid_in(entry.path().string());
      if (pid > 1 && is_shim(pid)) ::kill(pid, SIGKILL);
    }
    fs::remove_all(root_);
  }

  std::string bundle(const std::string& id, const std::string& annotations) {
    const std::string path = root_ + "/" + id;
    fs::create_directory(path);
    std::ofstream(path + "/config.json") << R"({"ociVersion":"1.0.2","annotations":{)" << annotations << "}}";
    return path;
  }

  static bool is_shim(pid_t pid) {
    std::error_code none;
    return fs::read_symlink("/proc/" + std::to_string(pid) + "/exe", none) ==
           fs::canonical(KATA_FAKE_SHIM, none);
  }

  static pid_t pid_in(const std::string& path) {
    std::ifstream file(path + "/shim.pid");
    pid_t pid = 0;
    file >> pid;
    return pid;
  }

  static std::string content(const std::string& path) { return read_file(path); }

  // Runs the program in `cwd` and reads its output to the end, as containerd does.
  static Result run(const std::string& cwd, std::vector<std::string> arguments,
                    const std::string& input = "") {
    int in[2], out[2], err[2];
    EXPECT_EQ(::pipe2(in, O_CLOEXEC) + ::pipe2(out, O_CLOEXEC) + ::pipe2(err, O_CLOEXEC), 0);
    arguments.insert(arguments.begin(), KATA_FAKE_SHIM);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    ::posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    ::posix_spawn_file_actions_addchdir_np(&actions, cwd.c_str());
    pid_t pid = 0;
    EXPECT_EQ(::posix_spawn(&pid, KATA_FAKE_SHIM, &actions, nullptr, argv.data(), environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    for (const int fd : {in[0], out[1], err[1]}) ::close(fd);
    write_all(in[1], input, "stdin");
    ::close(in[1]);
    Result result;
    result.out = read_all(out[0], 1 << 20, "stdout");
    result.err = read_all(err[0], 1 << 20, "stderr");
    ::close(out[0]);
    ::close(err[0]);
    int status = 0;
    ::waitpid(pid, &status, 0);
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
  }

  Result start(const std::string& id, const std::string& input = "") {
    return run(root_ + "/" + id,
               {"-namespace", "k8s.io", "-address", root_ + "/containerd.sock", "-publish-binary",
                "/usr/bin/containerd", "-id", id, "start"},
               input);
  }
  Result remove(const std::string& id) {
    const std::string path = root_ + "/" + id;
    return run(fs::exists(path) ? path : root_,
               {"-namespace", "k8s.io", "-address", root_ + "/containerd.sock", "-id", id, "-bundle", path,
                "delete"});
  }

  std::string params(const std::string& id) {
    containerd::runtime::bootstrap::v1::BootstrapParams message;
    message.set_instance_id(id);
    message.set_namespace_("k8s.io");
    message.set_socket_dir(root_ + "/sockets");
    return message.SerializeAsString();
  }

  static bool gone(pid_t pid) {
    const UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!fd) return true;
    pollfd entry{.fd = fd.get(), .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 5000) == 1;
  }

  char name_[32] = "/tmp/kata-program-XXXXXX";
  std::string root_;
  std::string sandbox_;
};

TEST_F(Program, Version) {
  for (const char* flag : {"-v", "--version"}) {
    const Result result = run(root_, {flag});
    EXPECT_EQ(result.code, 0);
    EXPECT_TRUE(result.out.starts_with("containerd-shim-kata-v2 version ")) << result.out;
    EXPECT_EQ(result.err, "");
  }
}

TEST_F(Program, InfoIsWhatContainerdReads) {
  const Result result = run(root_, {"-info"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
  containerd::types::RuntimeInfo info;
  ASSERT_TRUE(info.ParseFromString(result.out));
  EXPECT_EQ(info.name(), "io.containerd.kata.v2");
  EXPECT_EQ(info.features().type_url(),
            "types.containerd.io/opencontainers/runtime-spec/1/features/Features");
  const auto features = boost::json::parse(info.features().value()).as_object();
  EXPECT_EQ(features.at("ociVersionMin").as_string(), "1.0.0");
  const auto& words = features.at("mountOptions").as_array();
  for (const char* word : {"bind", "ro", "rro", "rslave", "tmpcopyup"})
    EXPECT_EQ(std::ranges::count(words, boost::json::value(word)), 1) << word;
  EXPECT_EQ(features.at("hooks").as_array().size(), 5U);
  EXPECT_EQ(features.at("linux").as_object().at("namespaces").as_array().size(), 6U);
}

TEST_F(Program, WrongFlagsFailWithTheReason) {
  const Result result = run(root_, {"-nope"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "containerd-shim-kata-v2: flag provided but not defined: -nope\n");
  EXPECT_EQ(run(root_, {}).code, 1);
  EXPECT_NE(run(root_, {"start"}).err.find("-id"), std::string::npos);
  EXPECT_NE(run(root_, {"-id", "a", "start"}).err.find("-namespace"), std::string::npos);
  EXPECT_NE(run(root_, {"-id", "../a", "-namespace", "n", "start"}).err.find("../a"), std::string::npos);
}

TEST_F(Program, StartAnswersInThePlainForm) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: the socket lies in /run/containerd/s";
  const Result result = start("sb1");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_TRUE(result.out.starts_with("unix:///run/containerd/s/")) << result.out;
  EXPECT_EQ(result.out.find('\n'), std::string::npos);
  EXPECT_EQ(content(sandbox_ + "/address"), result.out);
  EXPECT_TRUE(is_served(path_of_address(result.out)));
  const pid_t pid = pid_in(sandbox_);
  EXPECT_TRUE(is_shim(pid));

  // containerd that starts again asks again.
  EXPECT_EQ(start("sb1").out, result.out);
  EXPECT_EQ(pid_in(sandbox_), pid);

  // systemd's signals are not for the pod.
  ::kill(pid, SIGTERM);
  ::kill(pid, SIGINT);
  EXPECT_TRUE(is_served(path_of_address(result.out)));

  const Result removed = remove("sb1");
  ASSERT_EQ(removed.code, 0) << removed.err;
  EXPECT_TRUE(gone(pid));
  EXPECT_FALSE(fs::exists(path_of_address(result.out)));
  EXPECT_FALSE(fs::exists(sandbox_ + "/address"));
}

TEST_F(Program, StartAnswersInProtobufToWhoSpeaksIt) {
  const Result result = start("sb1", params("sb1"));
  ASSERT_EQ(result.code, 0) << result.err;
  containerd::runtime::bootstrap::v1::BootstrapResult answer;
  ASSERT_TRUE(answer.ParseFromString(result.out));
  EXPECT_EQ(answer.version(), 3);
  EXPECT_EQ(answer.protocol(), "ttrpc");
  EXPECT_TRUE(answer.address().starts_with("unix://" + root_ + "/sockets/")) << answer.address();
  EXPECT_EQ(content(sandbox_ + "/address"), answer.address());
  EXPECT_EQ(fs::read_symlink(sandbox_ + "/s"), root_ + "/sockets");
  EXPECT_EQ(remove("sb1").code, 0);
}

TEST_F(Program, ContainersOfAPodShareItsShim) {
  const Result sandbox = start("sb1", params("sb1"));
  ASSERT_EQ(sandbox.code, 0) << sandbox.err;
  bundle("c1", R"("io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-id":"sb1")");
  const Result container = start("c1");
  ASSERT_EQ(container.code, 0) << container.err;
  EXPECT_EQ(container.out, content(sandbox_ + "/address"));
  EXPECT_EQ(content(root_ + "/c1/address"), container.out);
  EXPECT_FALSE(fs::exists(root_ + "/c1/shim.pid"));

  const pid_t pid = pid_in(sandbox_);
  ASSERT_EQ(remove("c1").code, 0);
  EXPECT_TRUE(is_served(path_of_address(container.out)));
  EXPECT_TRUE(is_shim(pid));
  EXPECT_EQ(content(root_ + "/cleaned"), "sb1 c1\n");
  ASSERT_EQ(remove("sb1").code, 0);
  EXPECT_TRUE(gone(pid));
}

TEST_F(Program, AContainerWhosePodIsGoneIsRefused) {
  bundle("c1", R"("io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-id":"sb9")");
  const Result result = start("c1");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find("sandbox sb9, whose shim does not run"), std::string::npos) << result.err;

  fs::create_directory(root_ + "/sb9");
  std::ofstream(root_ + "/sb9/address") << "unix://" << root_ << "/nobody";
  EXPECT_NE(start("c1").err.find("does not answer"), std::string::npos);
}

TEST_F(Program, ABrokenBundleIsRefusedAndLeavesNothing) {
  std::ofstream(sandbox_ + "/config.json") << "{";
  const Result result = start("sb1", params("sb1"));
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("config.json"), std::string::npos) << result.err;
  EXPECT_FALSE(fs::exists(root_ + "/sockets"));
  EXPECT_FALSE(fs::exists(sandbox_ + "/address"));
}

TEST_F(Program, DeleteCanBeRepeatedAndNeedsNoBundle) {
  for (const char* id : {"sb1", "sb1", "never-was"}) {
    const Result result = remove(id);
    EXPECT_EQ(result.code, 0) << result.err;
    containerd::task::v3::DeleteResponse response;
    ASSERT_TRUE(response.ParseFromString(result.out));
    EXPECT_EQ(response.exit_status(), 137U);
    EXPECT_GT(response.exited_at().seconds(), 0);
  }
  EXPECT_EQ(content(root_ + "/cleaned"), "sb1 sb1\nsb1 sb1\nnever-was never-was\n");
}

TEST_F(Program, DeleteAfterAKilledShimRemovesItsSocket) {
  const Result result = start("sb1", params("sb1"));
  ASSERT_EQ(result.code, 0) << result.err;
  const std::string socket = path_of_address(content(sandbox_ + "/address"));
  const pid_t pid = pid_in(sandbox_);
  ASSERT_TRUE(is_shim(pid));
  ::kill(pid, SIGKILL);
  ASSERT_TRUE(gone(pid));
  EXPECT_TRUE(fs::exists(socket));
  fs::remove(sandbox_ + "/config.json");
  EXPECT_EQ(remove("sb1").code, 0);
  EXPECT_FALSE(fs::exists(socket));
}

TEST_F(Program, DeleteEndsAShimThatHangs) {
  ASSERT_EQ(start("sb1", params("sb1")).code, 0);
  const pid_t pid = pid_in(sandbox_);
  ASSERT_TRUE(is_shim(pid));
  ::kill(pid, SIGSTOP);
  const auto begin = std::chrono::steady_clock::now();
  const Result result = remove("sb1");
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.err.find("killed"), std::string::npos) << result.err;
  EXPECT_TRUE(gone(pid));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

}  // namespace
}  // namespace kata::shim
