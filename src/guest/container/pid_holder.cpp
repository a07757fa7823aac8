#include "guest/container/pid_holder.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <grp.h>
#include <sched.h>
#include <unistd.h>

#include "lib/error/error.h"

namespace kata::container {
namespace {

constexpr const char* kArgument = "pause";
constexpr uid_t kNobody = 65534;
// Any folder that every guest has; what lies there is the holder's own business in its own mount namespace.
constexpr const char* kAnyFolder = "/proc";

// The containers of the namespace see the holder: whatever rights they have, /proc/1/root shows them an empty
// folder instead of the guest's files.
void leave_the_files() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    throw_errno("making the mounts private");
  if (::mount("none", kAnyFolder, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0555") != 0)
    throw_errno("mounting an empty folder");
  if (::chdir(kAnyFolder) != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || ::chroot(".") != 0)
    throw_errno("moving into the empty folder");
}

void become_nobody() {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
      ::setresuid(kNobody, kNobody, kNobody) != 0)
    throw_errno("giving up the rights");
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

}  // namespace

bool is_pid_holder(int argc, char** argv) {
  return argc == 2 && std::strcmp(argv[1], kArgument) == 0;
}

int run_pid_holder() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  // From here on the kernel reaps; what ended before is reaped here.
  ::signal(SIGCHLD, SIG_IGN);
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  ::prctl(PR_SET_NAME, kArgument, 0, 0, 0);
  try {
    ::setsid();
    leave_the_files();
    become_nobody();
  } catch (const Error&) {
    // Standard error is /dev/null here: whoever joins finds the namespace gone.
    return 1;
  }
  for (;;) ::pause();
}

Spawned start_pid_holder() {
  SpawnRequest request;
  request.namespaces = CLONE_NEWPID | CLONE_NEWNS;
  request.stage = kArgument;
  return spawn_init_stage(request);
}

}  // namespace kata::container
