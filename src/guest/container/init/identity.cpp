#include <array>
#include <cerrno>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <unistd.h>

#include "guest/container/init/stage.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::container {
namespace {

constexpr uint64_t kSysAdmin = uint64_t{1} << CAP_SYS_ADMIN;

uint64_t known_capabilities() {
  // A bit that the kernel does not know ends the list.
  unsigned long bit = 0;
  while (bit < 64 && ::prctl(PR_CAPBSET_READ, bit, 0, 0, 0) >= 0) ++bit;
  return bit >= 64 ? ~uint64_t{0} : (uint64_t{1} << bit) - 1;
}

void set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (size_t i = 0; i < data.size(); ++i) {
    data[i].effective = static_cast<uint32_t>(effective >> (32 * i));
    data[i].permitted = static_cast<uint32_t>(permitted >> (32 * i));
    data[i].inheritable = static_cast<uint32_t>(inheritable >> (32 * i));
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0) throw_errno("setting the capabilities");
}

void drop_bounding(uint64_t keep, uint64_t known) {
  for (unsigned long bit = 0; bit < 64; ++bit) {
    const uint64_t mask = uint64_t{1} << bit;
    if ((known & mask) == 0 || (keep & mask) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, bit, 0, 0, 0) != 0)
      throw_errno("dropping capability " + std::to_string(bit));
  }
}

void raise_ambient(uint64_t ambient) {
  for (unsigned long bit = 0; bit < 64; ++bit) {
    if ((ambient & (uint64_t{1} << bit)) == 0) continue;
    // Needs the bit in permitted and inheritable; without it runc goes on as well.
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0);
  }
}

CapabilityPlan restricted(const CapabilityPlan& wanted, uint64_t known) {
  return {.bounding = wanted.bounding & known,
          .effective = wanted.effective & known,
          .inheritable = wanted.inheritable & known,
          .permitted = wanted.permitted & known,
          .ambient = wanted.ambient & known};
}

bool filter_needs_admin(const ProcessPlan& process) {
  return process.seccomp && !process.no_new_privileges;
}

// Whoever opens /dev/stdout again must be allowed to.
void own_streams(uint32_t uid) {
  struct stat null{};
  if (::stat("/dev/null", &null) != 0) null.st_rdev = 0;
  for (int fd = 0; fd < 3; ++fd) {
    struct stat info{};
    if (::fstat(fd, &info) != 0 || info.st_uid == uid) continue;
    if (S_ISCHR(info.st_mode) && info.st_rdev == null.st_rdev) continue;
    // EPERM and EROFS (streams of other users or file systems) leave them as they are.
    [[maybe_unused]] const int ignored = ::fchown(fd, uid, info.st_gid);
  }
}

void enter_working_directory(const std::string& cwd) {
  if (cwd.empty()) return;
  if (::chdir(cwd.c_str()) != 0) throw_errno("chdir to cwd (\"" + cwd + "\") set in config.json failed");
  // A directory outside of the root would be a way out of the container.
  std::array<char, 4096> where;
  if (::syscall(SYS_getcwd, where.data(), where.size()) < 0 || where[0] != '/')
    throw Error(Code::kInvalidArgument, "the working directory " + cwd + " lies outside of the container");
}

void set_ids(const ProcessPlan& process) {
  if (::setgroups(process.groups.size(), process.groups.data()) != 0)
    throw_errno("setting the additional groups");
  if (::setresgid(process.gid, process.gid, process.gid) != 0)
    throw_errno("setting the group " + std::to_string(process.gid));
  if (::setresuid(process.uid, process.uid, process.uid) != 0)
    throw_errno("setting the user " + std::to_string(process.uid));
}

void set_rlimits(const ProcessPlan& process) {
  for (const RlimitPlan& limit : process.rlimits) {
    const rlimit value{.rlim_cur = limit.soft, .rlim_max = limit.hard};
    if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &value) != 0)
      throw_errno("setting resource limit " + std::to_string(limit.resource) + " to " +
                  std::to_string(limit.hard));
  }
}

struct SchedulerAttributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

void set_scheduler(const SchedulerPlan& plan) {
  SchedulerAttributes attributes{.size = sizeof(SchedulerAttributes),
                                 .policy = plan.policy,
                                 .flags = plan.flags,
                                 .nice = plan.nice,
                                 .priority = plan.priority,
                                 .runtime = plan.runtime,
                                 .deadline = plan.deadline,
                                 .period = plan.period};
  if (::syscall(SYS_sched_setattr, 0, &attributes, 0U) != 0) throw_errno("setting the scheduler");
}

void set_affinity(const std::vector<uint32_t>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const uint32_t cpu : cpus) {
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  }
  if (::sched_setaffinity(0, sizeof set, &set) != 0) throw_errno("setting the CPU affinity");
}

void set_label(const char* file, const std::string& value, const char* what) {
  if (!value.empty()) with_context(what, [&] { write_existing(file, value); });
}

void set_execution_attributes(const ProcessPlan& process) {
  constexpr int kThisProcess = 1;
  if (process.scheduler) set_scheduler(*process.scheduler);
  if (process.io_priority && ::syscall(SYS_ioprio_set, kThisProcess, 0, *process.io_priority) != 0)
    throw_errno("setting the I/O priority");
  if (process.personality && ::personality(*process.personality) < 0) throw_errno("setting the personality");
  if (!process.affinity.empty()) set_affinity(process.affinity);
  set_label("/proc/thread-self/attr/apparmor/exec",
            process.apparmor_profile.empty() ? "" : "exec " + process.apparmor_profile,
            "applying the AppArmor profile");
  set_label("/proc/thread-self/attr/exec", process.selinux_label, "applying the SELinux label");
}

void load_seccomp(const SeccompPlan& plan) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(plan.program.size() / sizeof(sock_filter));
  // The kernel only reads it.
  program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(plan.program.data()));
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, plan.flags, &program) != 0)
    throw_errno("loading the seccomp filter");
}

}  // namespace

void apply_early_limits(const ProcessPlan& process, const AgentLink& agent) {
  if (!process.oom_score_adj) return;
  try {
    write_existing("/proc/self/oom_score_adj", std::to_string(*process.oom_score_adj));
  } catch (const Error& error) {
    agent.warn("oomScoreAdj: " + error.message());
  }
}

void become_user(const ProcessPlan& process) {
  set_rlimits(process);
  set_execution_attributes(process);
  const uint64_t known = known_capabilities();
  const CapabilityPlan wanted = restricted(process.capabilities.value_or(CapabilityPlan{}), known);
  enter_working_directory(process.cwd);
  drop_bounding(wanted.bounding, known);
  own_streams(process.uid);
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) throw_errno("keeping the capabilities");
  set_ids(process);
  if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) throw_errno("keeping the capabilities");
  const uint64_t extra = filter_needs_admin(process) ? kSysAdmin : 0;
  set_capabilities(wanted.effective | extra, wanted.permitted | extra, wanted.inheritable);
  // A user namespace came with an ambient set, see spawn.cpp.
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  raise_ambient(wanted.ambient);
  ::umask(process.umask.value_or(0022));
}

void restrict_finally(const ProcessPlan& process) {
  if (process.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    throw_errno("setting no_new_privs");
  if (!process.seccomp) return;
  const uint64_t known = known_capabilities();
  load_seccomp(*process.seccomp);
  if (!filter_needs_admin(process)) return;
  const CapabilityPlan wanted = restricted(process.capabilities.value_or(CapabilityPlan{}), known);
  if ((wanted.effective & wanted.permitted & kSysAdmin) == 0)
    set_capabilities(wanted.effective, wanted.permitted, wanted.inheritable);
}

}  // namespace kata::container
