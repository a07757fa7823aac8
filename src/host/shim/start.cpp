#include "host/shim/start.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <linux/close_range.h>
#include <optional>
#include <sys/mman.h>
#include <sys/stat.h>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include "host/shim/address.h"
#include "host/shim/bootstrap.h"
#include "host/shim/grouping.h"
#include "host/shim/handover.h"
#include "host/shim/process.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"

extern char** environ;

namespace kata::shim {
namespace {

constexpr mode_t kAddressMode = 0644;
// Below this the child's own descriptors are placed.
constexpr int kFirstSpareFd = 10;

void check(const Flags& flags) {
  if (!valid_id(flags.id)) {
    throw Error(Code::kInvalidArgument,
                "-id '" + flags.id.substr(0, 100) + "' is missing or no valid container id");
  }
  if (flags.containerd_namespace.empty())
    throw Error(Code::kInvalidArgument, "-namespace is missing: containerd gives it");
}

std::string read_input(int in) {
  // CRI-O closes stdin; a person at a terminal has nothing to say.
  if (::isatty(in) == 1 || (::fcntl(in, F_GETFD) < 0 && errno == EBADF)) return {};
  return read_all(in, kMaxBootstrapBytes, "standard input");
}

// The running shim that serves this container's pod.
std::string address_of_sandbox(const std::string& id, const std::string& sandbox_id) {
  const std::string file = "../" + sandbox_id + "/address";
  std::string address;
  try {
    address = read_file(file, PATH_MAX);
  } catch (const Error& error) {
    throw Error(Code::kNotFound, "container " + id + " belongs to sandbox " + sandbox_id +
                                     ", whose shim does not run: " + error.message());
  }
  while (address.ends_with('\n')) address.pop_back();
  const std::string path = path_of_address(address);
  if (!path.empty() && !is_served(path)) {
    throw Error(Code::kUnavailable, "container " + id + " belongs to sandbox " + sandbox_id +
                                        ", whose shim does not answer at " + address);
  }
  return address;
}

std::string own_program() {
  std::array<char, PATH_MAX> buffer;
  const ssize_t size = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  const std::string path = size > 0 ? std::string(buffer.data(), static_cast<size_t>(size)) : std::string();
  // Replaced on disk by an update since we were started: the running one is still there to be executed.
  return path.empty() || ::access(path.c_str(), X_OK) != 0 ? "/proc/self/exe" : path;
}

std::vector<std::string> server_arguments(const Flags& flags, const std::string& socket, bool debug) {
  std::vector<std::string> arguments = {own_program(),
                                        "-namespace",
                                        flags.containerd_namespace,
                                        "-address",
                                        flags.address,
                                        "-publish-binary",
                                        flags.publish_binary,
                                        "-id",
                                        flags.id,
                                        "-socket",
                                        socket};
  if (debug) arguments.emplace_back("-debug");
  return arguments;
}

UniqueFd keep_for_child(const std::string& bytes) {
  UniqueFd file(::memfd_create("runtime-options", MFD_CLOEXEC));
  if (!file) throw_errno("creating a memory file for the runtime options");
  write_all(file.get(), bytes, "the runtime options");
  if (::lseek(file.get(), 0, SEEK_SET) != 0) throw_errno("rewinding the runtime options");
  return file;
}

UniqueFd moved_up(const UniqueFd& fd) {
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstSpareFd));
  if (!copy) throw_errno("duplicating a descriptor");
  return copy;
}

// posix_spawn's two opaque values.
struct SpawnSetup {
  SpawnSetup() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

// Starts the serving process: a session of its own, none of our standard streams (containerd reads ours to
// their end).
pid_t spawn_server(const std::vector<std::string>& arguments, const UniqueFd& listener,
                   const UniqueFd& outer_mounts, const std::string& options) {
  // What our caller left open is not for a process that lives as long as the pod.
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  const UniqueFd listen_copy = moved_up(listener);
  UniqueFd options_copy, mounts_copy;
  if (!options.empty()) options_copy = moved_up(keep_for_child(options));
  if (outer_mounts) mounts_copy = moved_up(outer_mounts);

  SpawnSetup setup;
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    ::posix_spawn_file_actions_addopen(&setup.actions, fd, "/dev/null",
                                       fd == STDIN_FILENO ? O_RDONLY : O_WRONLY, 0);
  ::posix_spawn_file_actions_adddup2(&setup.actions, listen_copy.get(), kListenFd);
  if (options_copy) ::posix_spawn_file_actions_adddup2(&setup.actions, options_copy.get(), kOptionsFd);
  if (mounts_copy) ::posix_spawn_file_actions_adddup2(&setup.actions, mounts_copy.get(), kOuterMountsFd);

  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, argv[0], &setup.actions, &setup.attributes, argv.data(), environ);
  if (error != 0) throw Error::from_errno(error, "starting " + arguments[0]);
  return pid;
}

// Removes the socket again unless the start was completed.
class Rollback {
 public:
  explicit Rollback(std::string path) : path_(std::move(path)) {}
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  ~Rollback() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  void completed() { path_.clear(); }

 private:
  std::string path_;
};

// containerd 2.3 and later find the sockets of a bundle through this link.
void link_socket_dir(const std::string& socket_dir) {
  if (::symlink(socket_dir.c_str(), "s") != 0 && errno != EEXIST) throw_errno("linking s to " + socket_dir);
}

std::string start_server(const Flags& flags, const Bootstrap& bootstrap) {
  const std::string_view dir =
      bootstrap.socket_dir.empty() ? kDefaultSocketDir : std::string_view(bootstrap.socket_dir);
  const std::string path = socket_path(dir, flags.address, flags.containerd_namespace, flags.id);
  const std::string address = "unix://" + path;
  const Listening listening = listen_at(path);
  if (listening.already_served) return address;
  Rollback rollback(path);
  if (!bootstrap.socket_dir.empty()) link_socket_dir(bootstrap.socket_dir);
  write_file_atomic("address", address, kAddressMode);
  UniqueFd outer_mounts;
  if (::geteuid() == 0) {
    outer_mounts = open_file("/proc/self/ns/mnt", O_RDONLY);
    enter_private_mount_namespace();
  }
  raise_oom_score();
  const pid_t pid = spawn_server(server_arguments(flags, path, flags.debug || bootstrap.debug),
                                 listening.socket, outer_mounts, bootstrap.options);
  rollback.completed();
  write_file_atomic("shim.pid", std::to_string(pid), kAddressMode);
  return address;
}

}  // namespace

void start(const Flags& flags, int in, int out) {
  check(flags);
  const Bootstrap bootstrap = parse_bootstrap(read_input(in), flags);
  const std::string sandbox_id = sandbox_id_of_bundle(".", flags.id);
  std::string address;
  if (sandbox_id != flags.id) {
    address = address_of_sandbox(flags.id, sandbox_id);
    write_file_atomic("address", address, kAddressMode);
  } else {
    address = start_server(flags, bootstrap);
  }
  write_all(out, format_answer(bootstrap, address), "the answer to containerd");
}

}  // namespace kata::shim
