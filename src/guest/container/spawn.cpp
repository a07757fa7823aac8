#include "guest/container/spawn.h"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <linux/capability.h>
#include <linux/sched.h>
#include <optional>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "guest/container/plan.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::container {
namespace {

// What the child reads; prepared before the clone. It runs in the parent's memory: no allocation, no locks,
// no exceptions.
struct ChildTask {
  const SpawnRequest* request;
  std::vector<const char*> entry_files;
  std::vector<int> scratch;
  int null_fd;
  // Set by the child when a step fails; the parent reads it after the child has exited.
  volatile int error = 0;
  const char* volatile step = nullptr;
};

// The child's numbers for what it keeps lie above everything, so that placing one does not overwrite another.
constexpr int kScratchBase = 64;

[[noreturn]] void give_up(ChildTask& task, const char* step) {
  task.error = errno;
  task.step = step;
  ::_exit(126);
}

void enter_cgroups(ChildTask& task) {
  for (const char* path : task.entry_files) {
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || ::write(fd, "0", 1) != 1) give_up(task, "entering the cgroup");
    ::close(fd);
  }
}

// Moves every descriptor out of the way, then each to its number (dup2 clears close-on-exec).
void place_descriptors(ChildTask& task) {
  const SpawnRequest& request = *task.request;
  const size_t count = task.scratch.size();
  for (size_t i = 0; i < count; ++i) {
    int source = i < 3 ? request.stdio[i] : request.descriptors[i - 3];
    if (i < 3 && source < 0) source = task.null_fd;
    task.scratch[i] = source < 0 ? -1 : ::fcntl(source, F_DUPFD_CLOEXEC, kScratchBase);
    if (source >= 0 && task.scratch[i] < 0) give_up(task, "placing the descriptors");
  }
  for (size_t i = 0; i < count; ++i) {
    if (task.scratch[i] >= 0 && ::dup2(task.scratch[i], static_cast<int>(i)) < 0)
      give_up(task, "placing the descriptors");
  }
  // Nothing of the agent reaches a container, whatever forgot close-on-exec.
  ::syscall(SYS_close_range, static_cast<unsigned>(count), ~0U, 0U);
}

// Until its ids are mapped the process is nobody, and nobody loses its capabilities by exec, except ambient
// ones.
void keep_capabilities(ChildTask& task) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) give_up(task, "reading the capabilities");
  for (auto& part : data) part.inheritable = part.permitted;
  if (::syscall(SYS_capset, &header, data) != 0) give_up(task, "keeping the capabilities");
  for (unsigned long bit = 0; bit < 64; ++bit) ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0);
}

[[noreturn]] void child_main(void* argument) {
  ChildTask& task = *static_cast<ChildTask*>(argument);
  if ((task.request->namespaces & CLONE_NEWUSER) != 0) keep_capabilities(task);
  enter_cgroups(task);
  place_descriptors(task);
  const char* const argv[] = {"kata-agent", task.request->stage, nullptr};
  const char* const env[] = {nullptr};
  ::execve("/proc/self/exe", const_cast<char* const*>(argv), const_cast<char* const*>(env));
  give_up(task, "starting the init stage");
}

// clone3 with a stack of its own for the child: the C library has no wrapper for it.
#if defined(__x86_64__)
long clone_on_stack(clone_args* arguments, size_t size, void (*entry)(void*), void* argument) {
  long result = 0;
  asm volatile(
      "syscall\n"
      "test %%rax, %%rax\n"
      "jnz 1f\n"
      "xor %%ebp, %%ebp\n"
      "mov %[argument], %%rdi\n"
      "call *%[entry]\n"
      "ud2\n"
      "1:\n"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(arguments), "S"(size), [entry] "r"(entry), [argument] "r"(argument)
      : "rcx", "r11", "memory", "cc");
  return result;
}
#elif defined(__aarch64__)
long clone_on_stack(clone_args* arguments, size_t size, void (*entry)(void*), void* argument) {
  register long x0 asm("x0") = reinterpret_cast<long>(arguments);
  register long x1 asm("x1") = static_cast<long>(size);
  register long x8 asm("x8") = SYS_clone3;
  register auto x9 asm("x9") = entry;
  register void* x10 asm("x10") = argument;
  asm volatile(
      "svc #0\n"
      "cbnz x0, 1f\n"
      "mov x29, #0\n"
      "mov x0, x10\n"
      "blr x9\n"
      "brk #1\n"
      "1:\n"
      : "+r"(x0)
      : "r"(x1), "r"(x8), "r"(x9), "r"(x10)
      : "memory", "cc");
  return x0;
}
#else
// Elsewhere a copy of the memory: slower, and a failing step is known by its exit code only.
long clone_on_stack(clone_args* arguments, size_t size, void (*entry)(void*), void* argument) {
  arguments->flags &= ~static_cast<uint64_t>(CLONE_VM);
  arguments->stack = arguments->stack_size = 0;
  const long result = ::syscall(SYS_clone3, arguments, size);
  if (result != 0) return result < 0 ? -errno : result;
  entry(argument);
  return 0;
}
#endif

// Enters namespaces for the life of the object. For a pid namespace only the children are in it; the others
// are this thread's.
class NamespaceVisit {
 public:
  explicit NamespaceVisit(const SpawnRequest& request) {
    if (request.pid_namespace_fd >= 0) enter(request.pid_namespace_fd, CLONE_NEWPID, "/proc/self/ns/pid");
    for (const auto& [fd, kind] : request.birth_namespaces)
      enter(fd, kind, kind == CLONE_NEWIPC ? "/proc/thread-self/ns/ipc" : "/proc/thread-self/ns/uts");
  }
  ~NamespaceVisit() { leave(); }
  NamespaceVisit(const NamespaceVisit&) = delete;
  NamespaceVisit& operator=(const NamespaceVisit&) = delete;

 private:
  void enter(int fd, int kind, const char* own) {
    UniqueFd back = open_file(own, O_RDONLY);
    if (::setns(fd, kind) != 0) {
      const int error = errno;
      leave();
      throw Error::from_errno(error, "entering a namespace for the container");
    }
    back_.emplace_back(std::move(back), kind);
  }
  void leave() {
    for (const auto& [fd, kind] : back_) {
      // Without the way back every later child would be born in that container: better no agent at all.
      if (::setns(fd.get(), kind) != 0) std::terminate();
    }
    back_.clear();
  }

  std::vector<std::pair<UniqueFd, int>> back_;
};

// A signal handler of the parent must not run in the child, whose memory is the parent's.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

clone_args arguments_for(const SpawnRequest& request, int& pidfd, std::byte* stack, size_t stack_size) {
  clone_args arguments{};
  arguments.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | request.namespaces;
  if (request.cgroup_fd >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(request.cgroup_fd);
  }
  arguments.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  arguments.stack = reinterpret_cast<uint64_t>(stack);
  arguments.stack_size = stack_size;
  return arguments;
}

}  // namespace

Spawned spawn_init_stage(const SpawnRequest& request) {
  const UniqueFd null = open_file("/dev/null", O_RDWR);
  ChildTask task{.request = &request, .entry_files = {}, .scratch = {}, .null_fd = null.get()};
  for (const std::string& path : request.cgroup_entry_files) task.entry_files.push_back(path.c_str());
  task.scratch.resize(3 + request.descriptors.size(), -1);
  alignas(16) std::array<std::byte, size_t{64} << 10> stack;
  int pidfd = -1;
  clone_args arguments = arguments_for(request, pidfd, stack.data(), stack.size());
  long pid = 0;
  {
    const NamespaceVisit visit(request);
    const SignalsBlocked blocked;
    pid = clone_on_stack(&arguments, sizeof arguments, child_main, &task);
  }
  if (pid < 0) throw Error::from_errno(static_cast<int>(-pid), "starting a process in new namespaces");
  Spawned spawned{.pid = static_cast<pid_t>(pid), .pidfd = UniqueFd(pidfd)};
  if (task.error != 0) {
    ::waitpid(spawned.pid, nullptr, 0);
    throw Error::from_errno(task.error, task.step);
  }
  return spawned;
}

}  // namespace kata::container
