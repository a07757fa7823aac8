#include "guest/container/user_namespace.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <linux/sched.h>
#include <string>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::container {
namespace {

// The stage's descriptors lie below those that placing them goes through (spawn.cpp).
constexpr size_t kMaxTrees = 40;

std::string text_of(const std::vector<oci::IdMapping>& mappings, const char* field) {
  if (mappings.empty())
    throw Error(Code::kInvalidArgument, std::string(field) + " is empty: a user namespace needs it");
  std::string text;
  for (const oci::IdMapping& mapping : mappings) {
    text += std::to_string(mapping.container_id) + " " + std::to_string(mapping.host_id) + " " +
            std::to_string(mapping.size) + "\n";
  }
  return text;
}

// A process that does nothing but hold a new user namespace, until the object goes.
class NamespaceHolder {
 public:
  NamespaceHolder() {
    clone_args arguments{};
    arguments.flags = CLONE_NEWUSER;
    arguments.exit_signal = SIGCHLD;
    pid_ = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
    if (pid_ < 0) throw_errno("making a user namespace");
    while (pid_ == 0) ::pause();
  }
  ~NamespaceHolder() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  NamespaceHolder(const NamespaceHolder&) = delete;
  NamespaceHolder& operator=(const NamespaceHolder&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

UniqueFd make_user_namespace(const std::vector<oci::IdMapping>& uids,
                             const std::vector<oci::IdMapping>& gids) {
  const NamespaceHolder holder;
  map_user_namespace(holder.pid(), uids, gids);
  return open_file("/proc/" + std::to_string(holder.pid()) + "/ns/user", O_RDONLY);
}

bool has_word(const oci::Mount& mount, const char* word) {
  return std::find(mount.options.begin(), mount.options.end(), word) != mount.options.end();
}

UniqueFd make_tree(const oci::Mount& mount, const MountPlan& plan, int user_namespace) {
  const unsigned recursive = (plan.flags & MS_REC) != 0 ? static_cast<unsigned>(AT_RECURSIVE) : 0U;
  UniqueFd tree(::open_tree(AT_FDCWD, mount.source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive));
  if (!tree) throw_errno("bind-mounting " + mount.source + " on " + plan.target);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace);
  const unsigned reach = has_word(mount, "ridmap") ? static_cast<unsigned>(AT_RECURSIVE) : 0U;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH | reach, &attributes, sizeof attributes) != 0)
    throw_errno("mapping the ids of the mount on " + plan.target + " (not every file system can)");
  return tree;
}

}  // namespace

void map_user_namespace(pid_t pid, const std::vector<oci::IdMapping>& uids,
                        const std::vector<oci::IdMapping>& gids) {
  const std::string folder = "/proc/" + std::to_string(pid);
  write_existing(folder + "/uid_map", text_of(uids, "uidMappings"));
  write_existing(folder + "/gid_map", text_of(gids, "gidMappings"));
}

uint32_t outer_id(uint32_t id, const std::vector<oci::IdMapping>& mappings) {
  for (const oci::IdMapping& mapping : mappings) {
    if (id >= mapping.container_id && id - mapping.container_id < mapping.size)
      return mapping.host_id + (id - mapping.container_id);
  }
  return id;
}

std::vector<UniqueFd> make_id_mapped_trees(const oci::Spec& spec, ContainerPlan& plan,
                                           std::vector<int>& passed) {
  static const oci::Linux kNothing;
  const oci::Linux& config = spec.linux_config ? *spec.linux_config : kNothing;
  std::vector<UniqueFd> trees;
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const oci::Mount& mount = spec.mounts[i];
    const bool own = !mount.uid_mappings.empty() || !mount.gid_mappings.empty();
    if (!own && !has_word(mount, "idmap") && !has_word(mount, "ridmap")) continue;
    if ((plan.mounts[i].flags & MS_BIND) == 0)
      throw Error(Code::kInvalidArgument,
                  "mounts: ids of " + mount.destination + " can be mapped for a bind mount only");
    if (trees.size() >= kMaxTrees) throw Error(Code::kInvalidArgument, "mounts: too many id-mapped mounts");
    const UniqueFd ids = own ? make_user_namespace(mount.uid_mappings, mount.gid_mappings)
                             : make_user_namespace(config.uid_mappings, config.gid_mappings);
    trees.push_back(make_tree(mount, plan.mounts[i], ids.get()));
    if (passed.empty()) passed.push_back(-1);
    plan.mounts[i].tree_fd = kJoinFd + static_cast<int>(passed.size());
    passed.push_back(trees.back().get());
  }
  return trees;
}

}  // namespace kata::container
