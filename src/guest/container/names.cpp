#include "guest/container/names.h"

#include <array>
#include <charconv>
#include <linux/capability.h>
#include <linux/sched.h>
#include <optional>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>

#include <sched.h>

#include "lib/error/error.h"

namespace kata::container {
namespace {

struct Word {
  std::string_view name;
  uint64_t number;
};

constexpr auto kCapabilities = std::to_array<std::string_view>({"CHOWN",
                                                                "DAC_OVERRIDE",
                                                                "DAC_READ_SEARCH",
                                                                "FOWNER",
                                                                "FSETID",
                                                                "KILL",
                                                                "SETGID",
                                                                "SETUID",
                                                                "SETPCAP",
                                                                "LINUX_IMMUTABLE",
                                                                "NET_BIND_SERVICE",
                                                                "NET_BROADCAST",
                                                                "NET_ADMIN",
                                                                "NET_RAW",
                                                                "IPC_LOCK",
                                                                "IPC_OWNER",
                                                                "SYS_MODULE",
                                                                "SYS_RAWIO",
                                                                "SYS_CHROOT",
                                                                "SYS_PTRACE",
                                                                "SYS_PACCT",
                                                                "SYS_ADMIN",
                                                                "SYS_BOOT",
                                                                "SYS_NICE",
                                                                "SYS_RESOURCE",
                                                                "SYS_TIME",
                                                                "SYS_TTY_CONFIG",
                                                                "MKNOD",
                                                                "LEASE",
                                                                "AUDIT_WRITE",
                                                                "AUDIT_CONTROL",
                                                                "SETFCAP",
                                                                "MAC_OVERRIDE",
                                                                "MAC_ADMIN",
                                                                "SYSLOG",
                                                                "WAKE_ALARM",
                                                                "BLOCK_SUSPEND",
                                                                "AUDIT_READ",
                                                                "PERFMON",
                                                                "BPF",
                                                                "CHECKPOINT_RESTORE"});

constexpr auto kRlimits = std::to_array<Word>({{"RLIMIT_AS", RLIMIT_AS},
                                               {"RLIMIT_CORE", RLIMIT_CORE},
                                               {"RLIMIT_CPU", RLIMIT_CPU},
                                               {"RLIMIT_DATA", RLIMIT_DATA},
                                               {"RLIMIT_FSIZE", RLIMIT_FSIZE},
                                               {"RLIMIT_LOCKS", RLIMIT_LOCKS},
                                               {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
                                               {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
                                               {"RLIMIT_NICE", RLIMIT_NICE},
                                               {"RLIMIT_NOFILE", RLIMIT_NOFILE},
                                               {"RLIMIT_NPROC", RLIMIT_NPROC},
                                               {"RLIMIT_RSS", RLIMIT_RSS},
                                               {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
                                               {"RLIMIT_RTTIME", RLIMIT_RTTIME},
                                               {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
                                               {"RLIMIT_STACK", RLIMIT_STACK}});

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
constexpr auto kNamespaces = std::to_array<Word>({{"pid", CLONE_NEWPID},
                                                  {"network", CLONE_NEWNET},
                                                  {"mount", CLONE_NEWNS},
                                                  {"ipc", CLONE_NEWIPC},
                                                  {"uts", CLONE_NEWUTS},
                                                  {"user", CLONE_NEWUSER},
                                                  {"cgroup", CLONE_NEWCGROUP},
                                                  {"time", CLONE_NEWTIME}});

constexpr auto kPropagation = std::to_array<Word>({{"", 0},
                                                   {"private", MS_PRIVATE},
                                                   {"rprivate", MS_PRIVATE | MS_REC},
                                                   {"shared", MS_SHARED},
                                                   {"rshared", MS_SHARED | MS_REC},
                                                   {"slave", MS_SLAVE},
                                                   {"rslave", MS_SLAVE | MS_REC},
                                                   {"unbindable", MS_UNBINDABLE},
                                                   {"runbindable", MS_UNBINDABLE | MS_REC}});

// linux/sched.h; the C library has only some of them.
constexpr auto kPolicies = std::to_array<Word>({{"SCHED_OTHER", 0},
                                                {"SCHED_FIFO", 1},
                                                {"SCHED_RR", 2},
                                                {"SCHED_BATCH", 3},
                                                {"SCHED_ISO", 4},
                                                {"SCHED_IDLE", 5},
                                                {"SCHED_DEADLINE", 6}});
constexpr auto kSchedulerFlags = std::to_array<Word>({{"SCHED_FLAG_RESET_ON_FORK", 0x01},
                                                      {"SCHED_FLAG_RECLAIM", 0x02},
                                                      {"SCHED_FLAG_DL_OVERRUN", 0x04},
                                                      {"SCHED_FLAG_KEEP_POLICY", 0x08},
                                                      {"SCHED_FLAG_KEEP_PARAMS", 0x10},
                                                      {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
                                                      {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}});

// linux/ioprio.h.
constexpr auto kIoClasses =
    std::to_array<Word>({{"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}});

template <typename Table>
uint64_t find(const Table& table, std::string_view name, std::string_view what) {
  for (const Word& word : table) {
    if (word.name == name) return word.number;
  }
  throw Error(Code::kInvalidArgument, "unknown " + std::string(what) + " \"" + std::string(name) + "\"");
}

uint32_t cpu_number(std::string_view text, std::string_view whole) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || number >= 1024)
    throw Error(Code::kInvalidArgument, "CPU list \"" + std::string(whole) + "\" is not understood");
  return number;
}

}  // namespace

uint64_t capability_bits(const std::vector<std::string>& names) {
  uint64_t bits = 0;
  for (const std::string& name : names) {
    size_t number = 0;
    while (number < kCapabilities.size() &&
           !(name.starts_with("CAP_") && std::string_view(name).substr(4) == kCapabilities[number]))
      ++number;
    if (number == kCapabilities.size())
      throw Error(Code::kInvalidArgument, "process.capabilities: unknown capability \"" + name + "\"");
    bits |= uint64_t{1} << number;
  }
  return bits;
}

int rlimit_number(std::string_view name) {
  return static_cast<int>(find(kRlimits, name, "resource limit in process.rlimits"));
}

uint64_t namespace_flag(std::string_view name) {
  return find(kNamespaces, name, "namespace type in linux.namespaces");
}

uint64_t propagation_flags(std::string_view name) {
  return find(kPropagation, name, "linux.rootfsPropagation");
}

uint32_t scheduler_policy(std::string_view name) {
  return static_cast<uint32_t>(find(kPolicies, name, "process.scheduler.policy"));
}

uint64_t scheduler_flags(const std::vector<std::string>& names) {
  uint64_t flags = 0;
  for (const std::string& name : names)
    flags |= find(kSchedulerFlags, name, "flag in process.scheduler.flags");
  return flags;
}

uint32_t io_priority(std::string_view io_class, int32_t priority) {
  if (priority < 0 || priority > 7)
    throw Error(Code::kInvalidArgument,
                "process.ioPriority.priority " + std::to_string(priority) + " is not in 0..7");
  constexpr int kClassShift = 13;
  const auto number = static_cast<uint32_t>(find(kIoClasses, io_class, "process.ioPriority.class"));
  return (number << kClassShift) | static_cast<uint32_t>(priority);
}

uint64_t personality_number(std::string_view name) {
  if (name.starts_with("PER_")) name.remove_prefix(4);
  if (name == "LINUX") return PER_LINUX;
  if (name == "LINUX32") return PER_LINUX32;
  throw Error(Code::kInvalidArgument, "unknown linux.personality.domain \"" + std::string(name) + "\"");
}

std::vector<uint32_t> cpu_list(std::string_view text) {
  std::vector<uint32_t> cpus;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    const size_t dash = part.find('-');
    const uint32_t first = cpu_number(part.substr(0, dash), text);
    const uint32_t last = dash == std::string_view::npos ? first : cpu_number(part.substr(dash + 1), text);
    for (uint32_t cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace kata::container
