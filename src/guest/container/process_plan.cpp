#include "guest/container/process_plan.h"

#include <algorithm>

#include <unistd.h>

#include "guest/container/names.h"
#include "guest/container/seccomp.h"
#include "lib/error/error.h"

namespace kata::container {
namespace {

void check_strings(const std::vector<std::string>& texts, std::string_view field) {
  for (const std::string& text : texts) {
    if (text.find('\0') != std::string::npos)
      throw Error(Code::kInvalidArgument, std::string(field) + " holds a zero byte");
  }
}

// The kernel would not take the word: say so before anything is made.
void check_labels(const oci::Process& process) {
  if (!process.apparmor_profile.empty() && ::access("/sys/kernel/security/apparmor", F_OK) != 0)
    throw Error(Code::kFailedPrecondition,
                "process.apparmorProfile " + process.apparmor_profile + ": the guest kernel has no AppArmor");
  if (!process.selinux_label.empty() && ::access("/sys/fs/selinux/enforce", F_OK) != 0)
    throw Error(Code::kFailedPrecondition,
                "process.selinuxLabel " + process.selinux_label + ": the guest kernel has no SELinux");
}

std::vector<RlimitPlan> plan_rlimits(const std::vector<oci::Rlimit>& limits) {
  std::vector<RlimitPlan> plans;
  for (const oci::Rlimit& limit : limits) {
    const int resource = rlimit_number(limit.type);
    if (std::any_of(plans.begin(), plans.end(), [&](const RlimitPlan& p) { return p.resource == resource; }))
      throw Error(Code::kInvalidArgument, "process.rlimits: " + limit.type + " is listed twice");
    if (limit.soft > limit.hard)
      throw Error(Code::kInvalidArgument,
                  "process.rlimits: " + limit.type + " has a soft limit above the hard one");
    plans.push_back({.resource = resource, .soft = limit.soft, .hard = limit.hard});
  }
  return plans;
}

SchedulerPlan plan_scheduler(const oci::Scheduler& scheduler) {
  if (scheduler.priority < 0) throw Error(Code::kInvalidArgument, "process.scheduler.priority is negative");
  return {.policy = scheduler_policy(scheduler.policy),
          .priority = static_cast<uint32_t>(scheduler.priority),
          .flags = scheduler_flags(scheduler.flags),
          .runtime = scheduler.runtime,
          .deadline = scheduler.deadline,
          .period = scheduler.period,
          .nice = scheduler.nice};
}

void plan_terminal(const oci::Process& process, ProcessPlan& plan) {
  plan.terminal = process.terminal;
  if (!process.console_size) return;
  plan.rows = static_cast<uint16_t>(std::min<uint32_t>(process.console_size->height, 0xffff));
  plan.columns = static_cast<uint16_t>(std::min<uint32_t>(process.console_size->width, 0xffff));
}

// The kernel takes this id as "leave it alone": the process would keep the agent's own, root's.
void check_user(const oci::User& user) {
  constexpr uint32_t kNobodyAtAll = 0xffffffff;
  const auto refuse = [](const char* field) {
    throw Error(Code::kInvalidArgument,
                "process.user." + std::string(field) + " 4294967295 is the kernel's word for no change");
  };
  if (user.uid == kNobodyAtAll) refuse("uid");
  if (user.gid == kNobodyAtAll) refuse("gid");
  if (std::ranges::find(user.additional_gids, kNobodyAtAll) != user.additional_gids.end())
    refuse("additionalGids");
}

}  // namespace

CapabilityPlan plan_capabilities(const oci::Capabilities& capabilities) {
  return {.bounding = capability_bits(capabilities.bounding),
          .effective = capability_bits(capabilities.effective),
          .inheritable = capability_bits(capabilities.inheritable),
          .permitted = capability_bits(capabilities.permitted),
          .ambient = capability_bits(capabilities.ambient)};
}

ProcessPlan plan_process(const oci::Process& process, const oci::Linux& config) {
  if (process.args.empty())
    throw Error(Code::kInvalidArgument, "process.args is empty: there is nothing to run");
  if (!process.cwd.starts_with('/') && !process.cwd.empty())
    throw Error(Code::kInvalidArgument, "process.cwd \"" + process.cwd + "\" is not an absolute path");
  check_strings(process.args, "process.args");
  check_strings(process.env, "process.env");
  check_labels(process);
  check_user(process.user);
  ProcessPlan plan;
  plan.args = process.args;
  plan.env = process.env;
  plan.cwd = process.cwd.empty() ? "/" : process.cwd;
  plan.uid = process.user.uid;
  plan.gid = process.user.gid;
  plan.groups = process.user.additional_gids;
  plan.umask = process.user.umask;
  if (process.capabilities) plan.capabilities = plan_capabilities(*process.capabilities);
  plan.rlimits = plan_rlimits(process.rlimits);
  plan.no_new_privileges = process.no_new_privileges;
  if (config.seccomp) plan.seccomp = compile_seccomp(*config.seccomp);
  plan.oom_score_adj = process.oom_score_adj;
  plan_terminal(process, plan);
  plan.apparmor_profile = process.apparmor_profile;
  plan.selinux_label = process.selinux_label;
  if (process.scheduler) plan.scheduler = plan_scheduler(*process.scheduler);
  if (process.io_priority)
    plan.io_priority = io_priority(process.io_priority->io_class, process.io_priority->priority);
  if (!config.personality.empty()) plan.personality = personality_number(config.personality);
  plan.affinity = cpu_list(process.exec_cpu_affinity_final.empty() ? process.exec_cpu_affinity_initial
                                                                   : process.exec_cpu_affinity_final);
  return plan;
}

}  // namespace kata::container
