// mount(2) and friends with errors that name the mount, the option words of mount(8), and
// /proc/self/mountinfo.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error/error.h"

namespace kata::kernel {

// Flags and data that a list of option words stands for.
struct MountOptions {
  unsigned long flags = 0;
  // Flags that a word took away by name ("rw", "suid"): a bind mount clears them even where its source has
  // them.
  unsigned long cleared = 0;
  // MS_SHARED, MS_SLAVE, ... with MS_REC; 0 = none asked for.
  unsigned long propagation = 0;
  // What the file system itself reads, joined by ','.
  std::string data;
  // MOUNT_ATTR_* of rro, rnosuid, ...
  unsigned long recursive_set = 0, recursive_clear = 0;
  bool tmpcopyup = false;
};
// Later words win. Words that are no flag are data, in their order; "defaults" is nothing.
MountOptions parse_mount_options(const std::vector<std::string>& options);
// All words that are known, in alphabetical order.
std::vector<std::string_view> mount_option_words();

// mount(2). Throws Error "mounting <source> (<fstype>) on <target>: ...".
void mount(const std::string& source, const std::string& target, const std::string& fstype,
           unsigned long flags, const std::string& data);
enum class BindDepth { kOne, kRecursive };
void bind_mount(const std::string& source, const std::string& target, BindDepth depth);
void remount_readonly(const std::string& target);
void set_propagation(const std::string& target, unsigned long propagation);
// Detaches (MNT_DETACH | UMOUNT_NOFOLLOW). Not mounted is success.
void unmount_detach(const std::string& target);

struct MountEntry {
  int id = 0, parent = 0;
  unsigned major = 0, minor = 0;
  std::string root, mount_point, options, fstype, source, super_options;
  std::vector<std::string> optional_fields;
};
// Parses the text of a mountinfo file (proc(5)); escapes (\040) are resolved.
std::expected<std::vector<MountEntry>, Error> parse_mountinfo(std::string_view text);
// Mount points of this process at or below `path`, deepest first.
std::vector<std::string> mounts_below(const std::string& path);

}  // namespace kata::kernel
