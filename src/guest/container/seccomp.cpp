#include "guest/container/seccomp.h"

#include <array>
#include <cerrno>
#include <linux/seccomp.h>
#include <memory>
#include <sys/mman.h>

#include <seccomp.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace kata::container {
namespace {

constexpr size_t kMaxProgram = 32768 * 8;

struct Word {
  std::string_view name;
  uint32_t number;
};

constexpr auto kArchitectures = std::to_array<Word>({{"SCMP_ARCH_X86", SCMP_ARCH_X86},
                                                     {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
                                                     {"SCMP_ARCH_X32", SCMP_ARCH_X32},
                                                     {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
                                                     {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
                                                     {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
                                                     {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
                                                     {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
                                                     {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
                                                     {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
                                                     {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
                                                     {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
                                                     {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
                                                     {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
                                                     {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
                                                     {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
                                                     {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
                                                     {"SCMP_ARCH_S390", SCMP_ARCH_S390},
                                                     {"SCMP_ARCH_S390X", SCMP_ARCH_S390X}});

constexpr auto kOperators = std::to_array<Word>({{"SCMP_CMP_NE", SCMP_CMP_NE},
                                                 {"SCMP_CMP_LT", SCMP_CMP_LT},
                                                 {"SCMP_CMP_LE", SCMP_CMP_LE},
                                                 {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                                 {"SCMP_CMP_GE", SCMP_CMP_GE},
                                                 {"SCMP_CMP_GT", SCMP_CMP_GT},
                                                 {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}});

constexpr auto kFlags = std::to_array<Word>({
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},  // the stage has one thread: nothing to synchronise
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
});

[[noreturn]] void refuse(std::string_view what, std::string_view name) {
  throw Error(Code::kInvalidArgument,
              "linux.seccomp: unknown " + std::string(what) + " \"" + std::string(name) + "\"");
}

template <typename Table>
uint32_t find(const Table& table, std::string_view name, std::string_view what) {
  for (const Word& word : table) {
    if (word.name == name) return word.number;
  }
  refuse(what, name);
}

uint32_t action_of(std::string_view name, std::optional<uint32_t> errno_value) {
  // 0 and absent are the same on the agent's wire: EPERM, which is what runc takes when none is given.
  const uint32_t value = errno_value.value_or(0) == 0 ? static_cast<uint32_t>(EPERM) : *errno_value;
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(value);
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(value);
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_NOTIFY")
    throw Error(Code::kUnimplemented, "linux.seccomp: SCMP_ACT_NOTIFY needs a listener outside of the guest");
  refuse("action", name);
}

using Context = std::unique_ptr<void, decltype([](void* context) { ::seccomp_release(context); })>;

void add_architectures(scmp_filter_ctx context, const oci::Seccomp& profile) {
  for (const std::string& name : profile.architectures) {
    const int result = ::seccomp_arch_add(context, find(kArchitectures, name, "architecture"));
    if (result != 0 && result != -EEXIST)
      throw Error::from_errno(-result, "linux.seccomp: architecture " + name);
  }
}

std::vector<scmp_arg_cmp> conditions_of(const oci::SeccompSyscall& rule) {
  std::vector<scmp_arg_cmp> conditions;
  for (const oci::SeccompArg& arg : rule.args) {
    if (arg.index > 5)
      throw Error(Code::kInvalidArgument,
                  "linux.seccomp: argument index " + std::to_string(arg.index) + " is not in 0..5");
    scmp_arg_cmp condition{};
    condition.arg = arg.index;
    condition.op = static_cast<scmp_compare>(find(kOperators, arg.op, "operator"));
    condition.datum_a = arg.value;
    condition.datum_b = arg.value_two;
    conditions.push_back(condition);
  }
  return conditions;
}

// libseccomp takes one condition per argument in a rule: several on one argument become rules of their own
// (either suffices), which is what runc makes of them.
std::vector<std::vector<scmp_arg_cmp>> split_conditions(const std::vector<scmp_arg_cmp>& conditions) {
  std::array<int, 6> uses{};
  bool repeated = false;
  for (const scmp_arg_cmp& condition : conditions) repeated = ++uses.at(condition.arg) > 1 || repeated;
  if (!repeated) return {conditions};
  std::vector<std::vector<scmp_arg_cmp>> rules;
  for (const scmp_arg_cmp& condition : conditions) rules.push_back({condition});
  return rules;
}

void add_rule(scmp_filter_ctx context, const oci::SeccompSyscall& rule, uint32_t default_action) {
  const uint32_t action = action_of(rule.action, rule.errno_ret);
  const auto alternatives = split_conditions(conditions_of(rule));
  if (action == default_action) return;
  for (const std::string& name : rule.names) {
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) continue;
    for (const auto& conditions : alternatives) {
      const int result = ::seccomp_rule_add_array(
          context, action, number, static_cast<unsigned>(conditions.size()), conditions.data());
      if (result != 0 && result != -EEXIST)
        throw Error::from_errno(-result, "linux.seccomp: rule for " + name);
    }
  }
}

std::string export_program(scmp_filter_ctx context) {
  const UniqueFd file(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) throw_errno("making a file for the seccomp filter");
  const int result = ::seccomp_export_bpf(context, file.get());
  if (result != 0) throw Error::from_errno(-result, "compiling linux.seccomp");
  if (::lseek(file.get(), 0, SEEK_SET) != 0) throw_errno("reading the seccomp filter");
  return read_all(file.get(), kMaxProgram, "the seccomp filter");
}

}  // namespace

SeccompPlan compile_seccomp(const oci::Seccomp& profile) {
  if (!profile.listener_path.empty())
    throw Error(Code::kUnimplemented,
                "linux.seccomp.listenerPath: a listener on the host cannot be reached from the guest");
  const uint32_t default_action = action_of(profile.default_action, profile.default_errno_ret);
  const Context context(::seccomp_init(default_action));
  if (!context)
    throw Error(Code::kInvalidArgument,
                "linux.seccomp.defaultAction " + profile.default_action + " is not possible");
  // Without this the wrong architecture kills even where the profile would only answer with an errno.
  ::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
  ::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  add_architectures(context.get(), profile);
  for (const oci::SeccompSyscall& rule : profile.syscalls) add_rule(context.get(), rule, default_action);
  SeccompPlan plan;
  for (const std::string& name : profile.flags) plan.flags |= find(kFlags, name, "flag");
  plan.program = export_program(context.get());
  return plan;
}

}  // namespace kata::container
