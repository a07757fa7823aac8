// Reads the parts of config.json that are the same on every platform: the specification's config.md.
#include "lib/oci/json_types.h"

namespace kata::oci::detail {

// Static, not in an unnamed namespace: the templates of json_reader.h find these by their argument Node.

static void read(const Node& node, Box& out) {
  get(node, "height", out.height);
  get(node, "width", out.width);
}

static void read(const Node& node, User& out) {
  get(node, "uid", out.uid);
  get(node, "gid", out.gid);
  get(node, "umask", out.umask);
  get(node, "additionalGids", out.additional_gids);
  get(node, "username", out.username);
}

static void read(const Node& node, Capabilities& out) {
  get(node, "bounding", out.bounding);
  get(node, "effective", out.effective);
  get(node, "inheritable", out.inheritable);
  get(node, "permitted", out.permitted);
  get(node, "ambient", out.ambient);
}

static void read(const Node& node, Rlimit& out) {
  get(node, "type", out.type);
  get(node, "hard", out.hard);
  get(node, "soft", out.soft);
}

static void read(const Node& node, Scheduler& out) {
  get(node, "policy", out.policy);
  get(node, "nice", out.nice);
  get(node, "priority", out.priority);
  get(node, "flags", out.flags);
  get(node, "runtime", out.runtime);
  get(node, "deadline", out.deadline);
  get(node, "period", out.period);
}

static void read(const Node& node, IoPriority& out) {
  get(node, "class", out.io_class);
  get(node, "priority", out.priority);
}

static void read(const Node& node, Root& out) {
  get(node, "path", out.path);
  get(node, "readonly", out.readonly);
}

static void read(const Node& node, Mount& out) {
  get(node, "destination", out.destination);
  get(node, "source", out.source);
  get(node, "type", out.type);
  get(node, "options", out.options);
  get(node, "uidMappings", out.uid_mappings);
  get(node, "gidMappings", out.gid_mappings);
}

static void read(const Node& node, Hook& out) {
  get(node, "path", out.path);
  get(node, "args", out.args);
  get(node, "env", out.env);
  get(node, "timeout", out.timeout);
}

void read(const Node& node, Process& out) {
  get(node, "terminal", out.terminal);
  get(node, "consoleSize", out.console_size);
  get(node, "user", out.user);
  get(node, "args", out.args);
  get(node, "env", out.env);
  get(node, "cwd", out.cwd);
  get(node, "capabilities", out.capabilities);
  get(node, "rlimits", out.rlimits);
  get(node, "noNewPrivileges", out.no_new_privileges);
  get(node, "apparmorProfile", out.apparmor_profile);
  get(node, "oomScoreAdj", out.oom_score_adj);
  get(node, "selinuxLabel", out.selinux_label);
  get(node, "scheduler", out.scheduler);
  get(node, "ioPriority", out.io_priority);
  if (const auto* affinity = node.find("execCPUAffinity")) {
    const Node inner(*affinity, node, "execCPUAffinity");
    get(inner, "initial", out.exec_cpu_affinity_initial);
    get(inner, "final", out.exec_cpu_affinity_final);
  }
}

void read(const Node& node, Hooks& out) {
  get(node, "prestart", out.prestart);
  get(node, "createRuntime", out.create_runtime);
  get(node, "createContainer", out.create_container);
  get(node, "startContainer", out.start_container);
  get(node, "poststart", out.poststart);
  get(node, "poststop", out.poststop);
}

void read(const Node& node, Spec& out) {
  get(node, "ociVersion", out.version);
  get(node, "process", out.process);
  get(node, "root", out.root);
  get(node, "hostname", out.hostname);
  get(node, "domainname", out.domainname);
  get(node, "mounts", out.mounts);
  get(node, "hooks", out.hooks);
  get(node, "annotations", out.annotations);
  get(node, "linux", out.linux_config);
}

}  // namespace kata::oci::detail
