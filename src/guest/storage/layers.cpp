// Mounts a group of layers: the writable one, the others under it, and the overlay of them all.
#include <array>
#include <cerrno>
#include <sys/mount.h>
#include <sys/stat.h>

#include <unistd.h>

#include "guest/boot/modules.h"
#include "guest/storage/handlers.h"
#include "guest/storage/layer_group.h"
#include "guest/storage/mount_step.h"
#include "guest/storage/verity.h"
#include "lib/async/child_process.h"
#include "lib/error/error.h"
#include "lib/linux/mount.h"

namespace kata::storage {
namespace {

// What the child process mounts; short names, since all of them have to fit in one page of overlay options.
struct Plan {
  std::string folder;
  // Node of the writable layer; empty = memory.
  std::string upper_node;
  std::vector<std::string> upper_options;
  std::vector<std::string> lower_nodes;
  std::vector<LayerGroup::Folder> folders;
  std::string target;
};

std::string lower_name(size_t index) {
  return "l" + std::to_string(index);
}

// Partition `number` of a disk: vda3, nvme0n1p3.
std::string partition_node(const std::string& disk, uint32_t number) {
  if (number == 0) return disk;
  const bool digit = disk.back() >= '0' && disk.back() <= '9';
  return disk + (digit ? "p" : "") + std::to_string(number);
}

// Below a folder that nobody else writes, one element at a time, through no link.
void make_below(const std::string& root, const std::string& path) {
  for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
    const std::string part = root + "/" + path.substr(0, end);
    if (::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) throw_errno("making the folder " + part);
    struct stat info{};
    if (::lstat(part.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
      throw Error(Code::kInvalidArgument, part + " of the writable layer is not a folder");
    if (end == std::string::npos) return;
  }
}

void mount_upper(const Plan& plan) {
  if (plan.upper_node.empty()) {
    kernel::mount("tmpfs", "upper", "tmpfs", 0, "");
  } else {
    const kernel::MountOptions options = kernel::parse_mount_options(plan.upper_options);
    kernel::mount(plan.upper_node, "upper", "ext4", options.flags, options.data);
  }
  for (const char* folder : {"upper", "work"}) make_below("upper", folder);
  for (const LayerGroup::Folder& folder : plan.folders) {
    if (folder.root == LayerGroup::Folder::Root::kUpper) make_below("upper", folder.path);
  }
}

// In a child process, whose working folder is its own.
void mount_layers(const Plan& plan) {
  if (::chdir(plan.folder.c_str()) != 0) throw_errno("entering " + plan.folder);
  std::string lower;
  for (size_t i = 0; i < plan.lower_nodes.size(); ++i) {
    kernel::mount(plan.lower_nodes[i], lower_name(i), "erofs", MS_RDONLY | MS_NODEV, "");
    lower += (lower.empty() ? "" : ":") + lower_name(i);
  }
  mount_upper(plan);
  for (const LayerGroup::Folder& folder : plan.folders) {
    // Read-only: it can only be there already.
    if (folder.root == LayerGroup::Folder::Root::kLower) make_below(lower_name(0), folder.path);
  }
  kernel::mount("overlay", plan.target, "overlay", 0,
                "lowerdir=" + lower + ",upperdir=upper/upper,workdir=upper/work");
}

std::vector<std::string> upper_options(const Storage& upper) {
  std::vector<std::string> options;
  for (const std::string& option : upper.options) {
    if (!option.starts_with("X-kata.") && option != "loop") options.push_back(option);
  }
  return options;
}

void check_container_id(const std::string& id) {
  if (id.empty() || id.find('/') != std::string::npos || id.find("..") != std::string::npos ||
      id.find('\0') != std::string::npos)
    throw Error(Code::kInvalidArgument, "layers are for containers, not for \"" + id.substr(0, 100) + "\"");
}

// Nodes of the layers: the disk, its partition, the checked device over that.
Awaitable<> find_lowers(const LayerGroup& group, const Context& context, Plan& plan,
                        std::vector<VerityDevice>& checked) {
  std::string address;
  std::string disk;
  for (const Layer& layer : group.lowers) {
    // Most of them are on one disk.
    if (const std::string wanted = layer.driver + " " + layer.source; wanted != address) {
      disk = co_await context.find_device(layer.driver, layer.source);
      address = wanted;
    }
    std::string node = partition_node(disk, layer.partition);
    if (layer.partition != 0 && ::access(node.c_str(), F_OK) != 0)
      node = co_await context.find_device("mmioblk", node);
    if (layer.verity) {
      checked.push_back(VerityDevice::create(node, context.container_id, *layer.verity));
      node = checked.back().node();
    }
    plan.lower_nodes.push_back(std::move(node));
  }
}

}  // namespace

Awaitable<> attach_layers(const Storage& storage, const Context& context, Attached& made) {
  check_container_id(context.container_id);
  const LayerGroup group = parse_layers(storage.members);
  Plan plan;
  plan.folder = "/run/kata-containers/sandbox/layers/" + context.container_id;
  plan.target = storage.mount_point;
  plan.folders = group.folders;
  if (group.upper) {
    plan.upper_node = co_await context.find_device(group.upper->driver, group.upper->source);
    plan.upper_options = upper_options(*group.upper);
  }
  // They go away with their last user, which is the mount, or with this list if there is none.
  std::vector<VerityDevice> checked;
  co_await find_lowers(group, context, plan, checked);
  boot::load_on_demand("fs:erofs");
  make_directories(plan.target, made);
  const auto add = [&made](const std::string& path) {
    make_directories(path, made);
    made.mounts.push_back(path);
  };
  for (size_t i = 0; i < plan.lower_nodes.size(); ++i) add(plan.folder + "/" + lower_name(i));
  add(plan.folder + "/upper");
  made.mounts.push_back(plan.target);
  auto body = [&plan] { mount_layers(plan); };
  co_await run_in_child(std::move(body), kMountLimit, "mounting layers");
}

}  // namespace kata::storage
