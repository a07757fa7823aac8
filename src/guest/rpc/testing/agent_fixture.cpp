#include "guest/rpc/testing/agent_fixture.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "lib/async/deadline.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace fs = std::filesystem;

namespace kata::rpc {
namespace {

constexpr std::chrono::seconds kLimit{20};
const std::string& cgroup_parent() {
  static const std::string name = "kata-agent-test-" + std::to_string(::getpid());
  return name;
}

// Pid 1 of the namespaces is a shell, so that the agent is not: it must not believe to be a guest's init.
constexpr const char* kScript =
    "mount -t proc proc /proc; mount -t tmpfs tmpfs /run; mkdir -p /var/run; "
    "KATA_AGENT_SERVER_ADDR=unix://$1 KATA_AGENT_LOG_LEVEL=debug $0 & wait $!";

std::string agent_program() {
  // Another agent under the same tests (empty_agent.py).
  if (const char* other = std::getenv("KATA_AGENT_PROGRAM")) return other;
  return fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "kata-agent";
}

void add_mount(grpc::Spec& spec, const char* destination, const char* type,
               std::vector<std::string> options) {
  auto& mount = *spec.add_mounts();
  mount.set_destination(destination);
  mount.set_type(type);
  mount.set_source(type);
  for (auto& option : options) mount.add_options(std::move(option));
}

void collect_cgroups(const fs::path& root, std::vector<std::string>& out) {
  std::error_code ignored;
  for (fs::recursive_directory_iterator it(root, fs::directory_options::skip_permission_denied, ignored), end;
       it != end; it.increment(ignored)) {
    if (it.depth() > 4) it.disable_recursion_pending();
    if (it->path().string().find(cgroup_parent()) != std::string::npos && it->is_directory(ignored))
      out.push_back(it->path());
  }
}

// The engine leaves the parents of a cgroup alone, as runc does: they are a pod's.
void remove_cgroup_parents() {
  ::rmdir(("/sys/fs/cgroup/" + cgroup_parent()).c_str());
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/sys/fs/cgroup", ignored))
    ::rmdir((entry.path() / cgroup_parent()).c_str());
}

std::vector<std::string> children_of(pid_t pid) {
  std::vector<std::string> all;
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  for (std::string child; file >> child;) all.push_back(child);
  return all;
}

void append_list(std::string& out, const char* name, const std::vector<std::string>& list) {
  out += std::string(name) + ":";
  for (const std::string& entry : list) out += " " + entry;
  out += "\n";
}

}  // namespace

const char* vm_socket() {
  return std::getenv("KATA_AGENT_VM_SOCKET");
}

std::string Residue::text() const {
  std::string out;
  append_list(out, "mounts", mounts);
  append_list(out, "folders", folders);
  append_list(out, "cgroups", cgroups);
  append_list(out, "processes", processes);
  return out;
}

void AgentTest::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  if (::access("/bin/busybox", X_OK) != 0)
    GTEST_SKIP() << "needs a static /bin/busybox (package busybox-static)";
  if (vm_socket() == nullptr && !fs::exists(agent_program()))
    GTEST_SKIP() << "needs " << agent_program() << ": build the target kata-agent";
  std::string pattern = (fs::temp_directory_path() / "agent-test.XXXXXX").string();
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  folder_ = pattern;
  make_rootfs();
  if (vm_socket() == nullptr) start_agent();
  connect();
}

void AgentTest::TearDown() {
  if (client_) {
    (void)code_of("DestroySandbox", grpc::DestroySandboxRequest());
    client_->close();
  }
  if (box_) {
    box_->signal(SIGKILL);
    run_until([this] { return box_->status().has_value(); });
  }
  if (!folder_.empty()) fs::remove_all(folder_);
  remove_cgroup_parents();
  if (HasFailure()) std::fprintf(stderr, "agent's log:\n%s", log_.c_str());
}

void AgentTest::make_rootfs() {
  const std::string root = folder_ + "/rootfs";
  for (const char* name : {"bin", "etc", "proc", "sys", "dev", "tmp", "run", "root"})
    fs::create_directories(root + "/" + name);
  fs::permissions(folder_, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  fs::copy_file("/bin/busybox", root + "/bin/busybox");
  for (const char* name : {"sh",   "echo", "cat", "id",   "sleep", "true",     "false",    "ls",
                           "kill", "env",  "pwd", "head", "dd",    "hostname", "readlink", "stty",
                           "wc",   "ps",   "seq", "yes",  "tail",  "touch",    "stat",     "grep"}) {
    fs::create_symlink("busybox", root + "/bin/" + name);
  }
  std::ofstream(root + "/etc/passwd") << "root:x:0:0:root:/root:/bin/sh\n";
}

void AgentTest::start_agent() {
  std::array<int, 2> ends;
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd write_end(ends[1]);
  asio::co_spawn(io_, read_log(UniqueFd(ends[0])), asio::detached);
  Command command;
  command.argv = {"unshare",
                  "--mount",
                  "--pid",
                  "--net",
                  "--ipc",
                  "--uts",
                  "--fork",
                  "--kill-child",
                  "sh",
                  "-c",
                  kScript,
                  agent_program(),
                  folder_ + "/agent.sock"};
  command.stderr_fd = write_end.get();
  command.stdout_fd = write_end.get();
  command.parent_death = Command::ParentDeath::kKill;
  box_ = ChildProcess::start(io_.get_executor(), command);
  ASSERT_TRUE(run_until([this] { return log_.find("agent listening") != std::string::npos; })) << log_;
}

UniqueFd AgentTest::connect_port(uint32_t port) const {
  const bool vm = vm_socket() != nullptr;
  std::string path = vm ? vm_socket() : folder_ + "/agent.sock";
  if (!vm && port != kAgentPort) path += "_" + std::to_string(port);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    throw_errno("connecting to " + path);
  if (!vm) return fd;
  write_all(fd.get(), "CONNECT " + std::to_string(port) + "\n", "the VM's socket");
  std::string line;
  for (char byte = 0; byte != '\n' && ::read(fd.get(), &byte, 1) == 1;) line.push_back(byte);
  if (!line.starts_with("OK")) throw Error(Code::kUnavailable, "the VM's socket answers: " + line);
  return fd;
}

void AgentTest::connect() {
  UniqueFd fd = connect_port(kAgentPort);
  ucred peer{};
  socklen_t length = sizeof peer;
  ASSERT_EQ(::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length), 0);
  agent_pid_ = peer.pid;
  set_nonblocking(fd.get());
  StreamSocket socket(io_);
  socket.assign(asio::generic::stream_protocol(AF_UNIX, 0), fd.release());
  client_ = ttrpc::Client::create(std::move(socket), "agent");
}

void AgentTest::upload_rootfs() {
  for (const auto& entry : fs::recursive_directory_iterator(folder_ + "/rootfs")) {
    grpc::CopyFileRequest request;
    request.set_path(rootfs() + entry.path().string().substr((folder_ + "/rootfs").size()));
    request.set_dir_mode(0755);
    if (entry.is_symlink()) {
      request.set_file_mode(S_IFLNK | 0777);
      request.set_data(fs::read_symlink(entry.path()));
    } else if (entry.is_directory()) {
      request.set_file_mode(S_IFDIR | 0755);
    } else {
      request.set_file_mode(S_IFREG | 0755);
      const std::string content = read_file(entry.path());
      request.set_file_size(static_cast<int64_t>(content.size()));
      constexpr size_t kChunk = size_t{1} << 20;
      for (size_t at = 0; at + kChunk < content.size(); at += kChunk) {
        request.set_offset(static_cast<int64_t>(at));
        request.set_data(content.substr(at, kChunk));
        ASSERT_EQ(code_of("CopyFile", request), Code::kOk) << last_error();
      }
      const size_t rest = content.size() % kChunk;
      request.set_offset(static_cast<int64_t>(content.size() - rest));
      request.set_data(content.substr(content.size() - rest));
    }
    ASSERT_EQ(code_of("CopyFile", request), Code::kOk) << last_error();
  }
}

Awaitable<> AgentTest::read_log(UniqueFd fd) {
  asio::posix::stream_descriptor stream(io_, fd.release());
  std::array<char, 4096> buffer;
  try {
    for (;;) {
      const size_t n = co_await stream.async_read_some(asio::buffer(buffer), asio::use_awaitable);
      if (log_.size() < (size_t{1} << 20)) log_.append(buffer.data(), n);
    }
  } catch (const std::exception&) {
    // End of the agent.
  }
}

bool AgentTest::run_until(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + kLimit;
  io_.restart();
  while (!done()) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= Duration::zero() || io_.run_one_for(left) == 0) return done();
  }
  return true;
}

std::shared_ptr<std::optional<std::expected<std::string, Error>>> AgentTest::begin(const std::string& method,
                                                                                   std::string payload) {
  auto slot = std::make_shared<std::optional<std::expected<std::string, Error>>>();
  asio::co_spawn(io_, client_->call(kAgent, method, std::move(payload), {}),
                 [slot](const std::exception_ptr& failure, std::string answer) {
                   if (failure) {
                     slot->emplace(std::unexpected(to_error(failure)));
                   } else {
                     slot->emplace(std::move(answer));
                   }
                 });
  return slot;
}

std::expected<std::string, Error> AgentTest::call_raw(const std::string& service, const std::string& method,
                                                      std::string payload) {
  std::optional<std::expected<std::string, Error>> result;
  asio::co_spawn(io_, client_->call(service, method, std::move(payload), {}),
                 [&](const std::exception_ptr& failure, std::string answer) {
                   if (failure) {
                     result.emplace(std::unexpected(to_error(failure)));
                   } else {
                     result.emplace(std::move(answer));
                   }
                 });
  // No answer leaves `result` to a coroutine that may still run: end the program rather than go on.
  if (!run_until([&] { return result.has_value(); })) {
    std::fprintf(stderr, "%s: no answer\n%s", method.c_str(), log_.c_str());
    std::abort();
  }
  return std::move(*result);
}

void AgentTest::create_sandbox(const std::string& id) {
  grpc::CreateSandboxRequest request;
  request.set_sandbox_id(id);
  request.set_hostname("pod-host");
  ASSERT_EQ(code_of("CreateSandbox", request), Code::kOk) << last_error();
  if (vm_socket() != nullptr) upload_rootfs();
}

grpc::CreateContainerRequest AgentTest::container(const std::string& id,
                                                  std::vector<std::string> args) const {
  grpc::CreateContainerRequest request;
  request.set_container_id(id);
  grpc::Spec& spec = *request.mutable_oci();
  spec.set_version("1.1.0");
  grpc::Process& process = *spec.mutable_process();
  for (auto& arg : args) process.add_args(std::move(arg));
  process.add_env("PATH=/usr/local/bin:/usr/bin:/bin");
  process.set_cwd("/");
  for (const char* name : {"CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"}) {
    process.mutable_capabilities()->add_bounding(name);
    process.mutable_capabilities()->add_effective(name);
    process.mutable_capabilities()->add_permitted(name);
  }
  spec.mutable_root()->set_path(rootfs());
  add_mount(spec, "/proc", "proc", {"nosuid", "noexec", "nodev"});
  add_mount(spec, "/dev", "tmpfs", {"nosuid", "mode=755", "size=65536k"});
  add_mount(spec, "/dev/pts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"});
  add_mount(spec, "/tmp", "tmpfs", {"nosuid"});
  for (const char* type : {"ipc", "uts", "mount"}) spec.mutable_linux()->add_namespaces()->set_type(type);
  spec.mutable_linux()->set_cgroupspath("/" + cgroup_parent() + "/" + id);
  return request;
}

Code AgentTest::create_and_start(const grpc::CreateContainerRequest& request) {
  if (const Code code = code_of("CreateContainer", request); code != Code::kOk) return code;
  grpc::StartContainerRequest start;
  start.set_container_id(request.container_id());
  return code_of("StartContainer", start);
}

std::string AgentTest::read_all(const std::string& method, const std::string& id,
                                const std::string& exec_id) {
  grpc::ReadStreamRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_len(32768);
  std::string out;
  for (;;) {
    const auto answer = call<grpc::ReadStreamResponse>(method, request);
    if (!answer || answer->data().empty()) return out;
    out += answer->data();
  }
}

int AgentTest::wait(const std::string& id, const std::string& exec_id) {
  grpc::WaitProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  const auto answer = call<grpc::WaitProcessResponse>("WaitProcess", request);
  return answer ? answer->status() : -static_cast<int>(answer.error().code());
}

Code AgentTest::signal(const std::string& id, const std::string& exec_id, uint32_t number) {
  grpc::SignalProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_signal(number);
  return code_of("SignalProcess", request);
}

Code AgentTest::remove(const std::string& id) {
  grpc::RemoveContainerRequest request;
  request.set_container_id(id);
  return code_of("RemoveContainer", request);
}

Code AgentTest::exec(const std::string& id, const std::string& exec_id, std::vector<std::string> args) {
  grpc::ExecProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  for (auto& arg : args) request.mutable_process()->add_args(std::move(arg));
  request.mutable_process()->set_cwd("/");
  request.mutable_process()->add_env("PATH=/bin");
  return code_of("ExecProcess", request);
}

std::string AgentTest::guest(const std::string& path) const {
  return "/proc/" + std::to_string(agent_pid_) + "/root" + path;
}

std::string AgentTest::rootfs() const {
  return vm_socket() != nullptr ? "/run/kata-containers/shared/containers/rootfs" : folder_ + "/rootfs";
}

void AgentTest::expect_residue(const Residue& before, const std::string& what) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  Residue now = residue();
  while (now != before && std::chrono::steady_clock::now() < end) {
    // Each call is a turn of the agent's event loop.
    (void)code_of("Check", grpc::CheckRequest(), "grpc.Health");
    now = residue();
  }
  EXPECT_TRUE(now == before) << what << "\nnow\n" << now.text() << "before\n" << before.text();
}

Residue AgentTest::residue() const {
  Residue found;
  if (vm_socket() != nullptr) return found;
  const auto entries =
      kernel::parse_mountinfo(read_file("/proc/" + std::to_string(agent_pid_) + "/mountinfo"));
  if (entries) {
    // Other mounts are copies of the machine's: they come and go with what else runs there.
    for (const auto& entry : *entries) {
      if (entry.mount_point.starts_with("/run/") || entry.mount_point.starts_with("/etc/") ||
          entry.mount_point.starts_with(folder_)) {
        found.mounts.push_back(entry.mount_point);
      }
    }
  }
  std::error_code ignored;
  for (fs::recursive_directory_iterator it(guest("/run"), ignored), end; it != end; it.increment(ignored))
    found.folders.push_back(it->path());
  collect_cgroups("/sys/fs/cgroup", found.cgroups);
  std::erase_if(found.cgroups, [](const std::string& path) { return path.ends_with(cgroup_parent()); });
  found.processes = children_of(agent_pid_);
  for (auto* list : {&found.mounts, &found.folders, &found.cgroups}) std::ranges::sort(*list);
  return found;
}

}  // namespace kata::rpc
