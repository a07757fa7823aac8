// The init stage: the agent's own program again, inside the new namespaces, between clone and the user's
// program.
//
// Order of the work (the same as runc's, where the order shows): namespaces, mounts, hooks, pivot, console,
// kernel settings, masks, credentials, look-up of the program, report, wait for start, exec.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "guest/container/control.h"
#include "guest/container/plan.h"

namespace kata::container {

// The stage's side of the socket to the agent.
class AgentLink {
 public:
  void tell(Message kind, int descriptor = -1) const { send_packet(kControlFd, kind, {}, descriptor); }
  void warn(std::string_view text) const { send_packet(kControlFd, Message::kWarning, text); }
  // Waits for `answer`; the stage ends silently when the agent is gone.
  void expect(Message answer) const;
};

// rootfs.cpp: from clone to pivot and the settings after it.
void build_root(const InitPlan& plan, const AgentLink& agent);
void finish_root(const ContainerPlan& plan);

// mounts.cpp
void make_mount(const MountPlan& mount, const ContainerPlan& plan, int root);
void mask_path(const std::string& path, int null_device);
void make_path_readonly(const std::string& path);

// devices.cpp: nodes and links below /dev.
void make_devices(const ContainerPlan& plan, int root);

// console.cpp: a pty of the container's devpts becomes 0, 1, 2; its master goes to the agent.
void open_console(const ProcessPlan& process, bool is_init, const AgentLink& agent);

// identity.cpp: limits, ids and capabilities. CAP_SYS_ADMIN stays until restrict_finally where a filter still
// has to be loaded without no_new_privileges.
void apply_early_limits(const ProcessPlan& process, const AgentLink& agent);
void become_user(const ProcessPlan& process);
// The last steps before exec: nothing but execve has to pass the filter (and capset without
// no_new_privileges).
void restrict_finally(const ProcessPlan& process);

// program.cpp: what args[0] means with this environment, as Go's exec.LookPath has it.
std::string find_program(const ProcessPlan& process);
// HOME of the user from the container's /etc/passwd when the environment has none.
void complete_environment(ProcessPlan& process);

// The text of an errno as Go writes it: "permission denied".
std::string plain_errno_text(int error);

// hook_runner.cpp: runs each with `state` on its standard input. Throws Error at the first that fails.
void run_hooks(const std::vector<oci::Hook>& hooks, std::string_view kind, const std::string& state);

}  // namespace kata::container
