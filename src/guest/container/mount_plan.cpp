#include "guest/container/mount_plan.h"

#include <sys/mount.h>

#include "lib/error/error.h"
#include "lib/linux/mount.h"

namespace kata::container {
namespace {

// Without "..", "." and double slashes: /dev is known by its name.
std::string clean(const std::string& path) {
  std::string result;
  size_t start = 0;
  while (start < path.size()) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string part = path.substr(start, end - start);
    start = end + 1;
    if (part == "..") {
      result.resize(result.rfind('/') == std::string::npos ? 0 : result.rfind('/'));
    } else if (!part.empty() && part != ".") {
      result += "/" + part;
    }
  }
  return result.empty() ? "/" : result;
}

MountPlan plan_mount(const oci::Mount& mount, bool unified) {
  if (mount.destination.empty()) throw Error(Code::kInvalidArgument, "mounts: a mount has no destination");
  // The words about ids are not the file system's.
  std::vector<std::string> words = mount.options;
  std::erase_if(words, [](const std::string& word) { return word == "idmap" || word == "ridmap"; });
  const kernel::MountOptions options = kernel::parse_mount_options(words);
  MountPlan plan;
  // A relative destination counts from the root.
  plan.target = clean(mount.destination);
  plan.source = mount.source;
  plan.fstype = mount.type;
  plan.data = options.data;
  plan.flags = options.flags;
  plan.cleared = options.cleared;
  plan.propagation = options.propagation;
  plan.recursive_set = options.recursive_set;
  plan.recursive_clear = options.recursive_clear;
  plan.tmpcopyup = options.tmpcopyup;
  const bool bind = (plan.flags & MS_BIND) != 0;
  if (!bind && (mount.type == "cgroup" || mount.type == "cgroup2")) {
    plan.cgroup = unified ? CgroupView::kUnified : CgroupView::kLegacy;
  }
  if (mount.type == "bind" && !bind) plan.flags |= MS_BIND;
  if ((plan.flags & MS_BIND) != 0 && (plan.flags & MS_REMOUNT) == 0 && !plan.source.starts_with('/'))
    throw Error(Code::kInvalidArgument, "mounts: the bind mount on " + plan.target +
                                            " has no absolute source (\"" + plan.source + "\")");
  if ((plan.flags & (MS_BIND | MS_REMOUNT)) == 0 && plan.fstype.empty())
    throw Error(Code::kInvalidArgument, "mounts: the mount on " + plan.target + " has no type");
  if (plan.tmpcopyup && plan.fstype != "tmpfs")
    throw Error(Code::kInvalidArgument, "mounts: tmpcopyup on " + plan.target + " needs type tmpfs");
  if (plan.target == "/")
    throw Error(Code::kInvalidArgument, "mounts: a mount on / would hide the root file system");
  return plan;
}

}  // namespace

std::vector<MountPlan> plan_mounts(const std::vector<oci::Mount>& mounts, bool unified) {
  std::vector<MountPlan> plans;
  plans.reserve(mounts.size());
  for (const oci::Mount& mount : mounts) plans.push_back(plan_mount(mount, unified));
  return plans;
}

}  // namespace kata::container
