// Copies of mounts (open_tree(2), move_mount(2)), also as another mount namespace has them.
#pragma once

#include <string>

#include "lib/fd/unique_fd.h"

namespace kata::kernel {

// The mounts at and below `source`, attached nowhere. The kernel drops them with the descriptor unless
// attach_mounts() gave them a place. Throws Error "copying the mount of <source>: ...".
UniqueFd copy_mounts(const std::string& source);

enum class CopyAccess { kAsSource, kReadOnly };
// The copies hear of what happens to their sources (MS_SLAVE) and not the other way round. A read-only copy
// is so before it has its place: later changes of a mount's flags do not propagate.
void attach_mounts(const UniqueFd& copy, const std::string& target, CopyAccess access);

// The mount namespace from which this process was started, as far as it has been told: a program with a
// namespace of its own does not hear of later mounts where "/" is private. For the life of the process.
void set_outer_mounts(UniqueFd mount_namespace);
// copy_mounts() as seen there; where nothing is known of it, or `source` is not there, as seen here. Changes
// the namespace for a moment, and the working folder: only for a child process of one thread.
UniqueFd copy_outer_mounts(const std::string& source);

}  // namespace kata::kernel
