#include "host/vsock_device/confine.h"

#include <array>
#include <linux/capability.h>
#include <memory>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <seccomp.h>
#include <unistd.h>

#include "lib/error/error.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KATA_WITHOUT_SECCOMP 1
#endif
#endif

namespace kata::vsock_device {
namespace {

void drop_capabilities() {
  for (int capability = 0; capability < 64; ++capability) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) throw_errno("dropping capabilities");
}

#ifndef KATA_WITHOUT_SECCOMP

// What the event loop, the streams, the vhost-user session, the allocator and the log use, and what a
// crash or exit needs.
constexpr std::array kAllowed = {
    SCMP_SYS(epoll_wait),    SCMP_SYS(epoll_pwait),     SCMP_SYS(epoll_ctl),  SCMP_SYS(read),
    SCMP_SYS(readv),         SCMP_SYS(write),           SCMP_SYS(writev),     SCMP_SYS(recvmsg),
    SCMP_SYS(recvfrom),      SCMP_SYS(sendmsg),         SCMP_SYS(sendto),     SCMP_SYS(accept4),
    SCMP_SYS(connect),       SCMP_SYS(shutdown),        SCMP_SYS(setsockopt), SCMP_SYS(fcntl),
    SCMP_SYS(close),         SCMP_SYS(munmap),          SCMP_SYS(madvise),    SCMP_SYS(mremap),
    SCMP_SYS(brk),           SCMP_SYS(futex),           SCMP_SYS(poll),       SCMP_SYS(ppoll),
    SCMP_SYS(clock_gettime), SCMP_SYS(restart_syscall), SCMP_SYS(unlink),     SCMP_SYS(unlinkat),
    SCMP_SYS(getpid),        SCMP_SYS(gettid),          SCMP_SYS(tgkill),     SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask),  SCMP_SYS(getrandom),  SCMP_SYS(exit),
    SCMP_SYS(exit_group),    SCMP_SYS(fstat),           SCMP_SYS(newfstatat)};

void check(int result, const char* what) {
  if (result != 0) throw Error::from_errno(-result, what);
}

constexpr const char* kBuilding = "building the seccomp filter";

void allow_if(scmp_filter_ctx filter, int number, scmp_arg_cmp condition) {
  check(::seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &condition), kBuilding);
}

void install_filter() {
  const std::unique_ptr<void, decltype(&::seccomp_release)> filter(::seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                                   &::seccomp_release);
  if (!filter) throw Error(Code::kResourceExhausted, kBuilding);
  for (const int number : kAllowed)
    check(::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, number, 0), kBuilding);
  allow_if(filter.get(), SCMP_SYS(socket), {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_UNIX, .datum_b = 0});
  // Memory, but never executable.
  constexpr scmp_arg_cmp kNotExecutable{
      .arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0};
  allow_if(filter.get(), SCMP_SYS(mmap), kNotExecutable);
  allow_if(filter.get(), SCMP_SYS(mprotect), kNotExecutable);
  check(::seccomp_load(filter.get()), "loading the seccomp filter");
}

#else

void install_filter() {}

#endif

}  // namespace

void confine() {
  drop_capabilities();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw_errno("setting no_new_privs");
  install_filter();
}

}  // namespace kata::vsock_device
