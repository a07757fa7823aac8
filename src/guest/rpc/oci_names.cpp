#include "guest/rpc/oci_names.h"

#include <algorithm>
#include <span>

namespace kata::rpc {
namespace {

constexpr std::string_view kNamespaces[] = {"pid",   "network", "ipc",    "uts",
                                            "mount", "user",    "cgroup", "time"};

// Without "CAP_".
constexpr std::string_view kCapabilities[] = {"CHOWN",
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
                                              "CHECKPOINT_RESTORE"};

// Without "RLIMIT_".
constexpr std::string_view kRlimits[] = {"AS",      "CORE",     "CPU",        "DATA",   "FSIZE", "LOCKS",
                                         "MEMLOCK", "MSGQUEUE", "NICE",       "NOFILE", "NPROC", "RSS",
                                         "RTPRIO",  "RTTIME",   "SIGPENDING", "STACK"};

// Without "SCMP_ACT_".
constexpr std::string_view kActions[] = {"KILL",  "KILL_PROCESS", "KILL_THREAD", "TRAP",  "ERRNO",
                                         "TRACE", "ALLOW",        "LOG",         "NOTIFY"};

// Without "SCMP_CMP_".
constexpr std::string_view kOperators[] = {"NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"};

// Without "SCMP_ARCH_".
constexpr std::string_view kArchitectures[] = {
    "X86",    "X86_64",   "X32",         "ARM",         "AARCH64", "MIPS",    "MIPS64", "MIPS64N32",
    "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC",         "PPC64",   "PPC64LE", "S390",   "S390X",
    "PARISC", "PARISC64", "RISCV64",     "LOONGARCH64", "M68K",    "SH",      "SHEB"};

// Without "SECCOMP_FILTER_FLAG_".
constexpr std::string_view kFlags[] = {"TSYNC", "LOG", "SPEC_ALLOW", "NEW_LISTENER", "WAIT_KILLABLE_RECV"};

constexpr std::string_view kPropagations[] = {"shared",   "rshared",    "slave",       "rslave", "private",
                                              "rprivate", "unbindable", "runbindable", ""};

struct Table {
  std::string_view prefix;
  std::span<const std::string_view> names;
};

Table table_of(NameKind kind) {
  switch (kind) {
    case NameKind::kNamespace:
      return {"", kNamespaces};
    case NameKind::kCapability:
      return {"CAP_", kCapabilities};
    case NameKind::kRlimit:
      return {"RLIMIT_", kRlimits};
    case NameKind::kSeccompAction:
      return {"SCMP_ACT_", kActions};
    case NameKind::kSeccompOperator:
      return {"SCMP_CMP_", kOperators};
    case NameKind::kSeccompArchitecture:
      return {"SCMP_ARCH_", kArchitectures};
    case NameKind::kSeccompFlag:
      return {"SECCOMP_FILTER_FLAG_", kFlags};
    case NameKind::kPropagation:
      return {"", kPropagations};
  }
  return {};
}

}  // namespace

bool is_known_name(NameKind kind, std::string_view name) {
  const Table table = table_of(kind);
  if (!name.starts_with(table.prefix)) return false;
  return std::ranges::find(table.names, name.substr(table.prefix.size())) != table.names.end();
}

}  // namespace kata::rpc
