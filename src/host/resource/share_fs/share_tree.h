// The folder that a sandbox's guest sees, on disk and as mounts. Paths: agent-api facts, section 7.
//
//   <base>/<sandbox>/rw                            written by the shim; a shared mount of itself
//   <base>/<sandbox>/rw/passthrough/<container>/rootfs   a container's root file system, bind mounted
//   <base>/<sandbox>/rw/passthrough/sandbox-<8 hex>-<name>   a shared volume or file, bind mounted
//   <base>/<sandbox>/rw/passthrough/sandbox-mounts/<name>   what sandbox_bind_mounts names, bind mounted
//   <base>/<sandbox>/ro                            read-only slave bind of rw: what virtiofsd exports
//
// What is mounted below rw shows below ro, too, with its own flags: the guest writes into a rootfs, yet
// cannot add to the tree between the mounts.
#pragma once

#include <string>
#include <string_view>

#include "lib/error/teardown.h"

namespace kata::share_fs {

inline constexpr std::string_view kShareBase = "/run/kata-containers/shared/sandboxes";

// The caller is in a mount namespace of its own (enter_private_mount_namespace). Plain mount(2) calls on
// local folders; sources that may hang go through run_in_child by the caller.
class ShareTree {
 public:
  // `base` is absolute and free of symbolic links, as the kernel's list of mounts spells it. kInvalidArgument
  // when the id is no plain file name.
  ShareTree(std::string_view base, std::string_view sandbox_id);

  // Makes folders and mounts. kAlreadyExists when the sandbox's folder is there.
  void create();
  enum class Access { kReadWrite, kReadOnly };
  // Where the source is looked up: kOuter = see kernel::copy_outer_mounts(), for a child process.
  enum class View { kOwn, kOuter };
  // Binds `source` (folder or anything else) to a name below passthrough ("c1/rootfs"); the target is made.
  void bind(const std::string& source, const std::string& name, Access access, View view = View::kOwn) const;
  // Unmounts and removes one name, and its folder if that is empty then. Not there is success.
  void unbind(const std::string& name) const;
  // Unmounts and removes all, each step on its own; needs nothing but the paths, so it serves after a crash,
  // too. Only empty folders and empty files are ever removed: nobody's data, even when an unmount failed.
  void remove(Teardown& teardown) const;

  [[nodiscard]] const std::string& exported() const { return ro_; }
  [[nodiscard]] std::string host_path(const std::string& name) const { return rw_ + "/passthrough/" + name; }

 private:
  std::string root_, rw_, ro_;
};

// A file name: not empty, not "." or "..", no '/' and no NUL, at most 255 bytes.
bool is_file_name(std::string_view name);

// "<prefix>-<random hexadecimal digits>-<last part of path>", a file name: "sandbox-1f2e3d4c-hosts".
std::string unique_name(std::string_view prefix, size_t digits, std::string_view path);

// For main() of a process that mounts things for a sandbox, before it starts threads: from then on its mounts
// are seen by itself and its children only and go with the last of them; what the host mounts still arrives.
void enter_private_mount_namespace();

}  // namespace kata::share_fs
