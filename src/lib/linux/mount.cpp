#include "lib/linux/mount.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/mount.h>
#include <sys/vfs.h>

namespace kata::kernel {
namespace {

enum class Effect { kSet, kClear };

struct FlagWord {
  std::string_view word;
  Effect effect;
  unsigned long flags;
};

// The words of mount(8) that are flags of mount(2).
constexpr auto kFlagWords = std::to_array<FlagWord>({
    {"async", Effect::kClear, MS_SYNCHRONOUS},
    {"atime", Effect::kClear, MS_NOATIME},
    {"bind", Effect::kSet, MS_BIND},
    {"dev", Effect::kClear, MS_NODEV},
    {"diratime", Effect::kClear, MS_NODIRATIME},
    {"dirsync", Effect::kSet, MS_DIRSYNC},
    {"exec", Effect::kClear, MS_NOEXEC},
    {"iversion", Effect::kSet, MS_I_VERSION},
    {"lazytime", Effect::kSet, MS_LAZYTIME},
    {"loud", Effect::kClear, MS_SILENT},
    {"mand", Effect::kSet, MS_MANDLOCK},
    {"noatime", Effect::kSet, MS_NOATIME},
    {"nodev", Effect::kSet, MS_NODEV},
    {"nodiratime", Effect::kSet, MS_NODIRATIME},
    {"noexec", Effect::kSet, MS_NOEXEC},
    {"noiversion", Effect::kClear, MS_I_VERSION},
    {"nolazytime", Effect::kClear, MS_LAZYTIME},
    {"nomand", Effect::kClear, MS_MANDLOCK},
    {"norelatime", Effect::kClear, MS_RELATIME},
    {"nostrictatime", Effect::kClear, MS_STRICTATIME},
    {"nosuid", Effect::kSet, MS_NOSUID},
    {"nosymfollow", Effect::kSet, MS_NOSYMFOLLOW},
    {"rbind", Effect::kSet, MS_BIND | MS_REC},
    {"relatime", Effect::kSet, MS_RELATIME},
    {"remount", Effect::kSet, MS_REMOUNT},
    {"ro", Effect::kSet, MS_RDONLY},
    {"rw", Effect::kClear, MS_RDONLY},
    {"silent", Effect::kSet, MS_SILENT},
    {"strictatime", Effect::kSet, MS_STRICTATIME},
    {"suid", Effect::kClear, MS_NOSUID},
    {"symfollow", Effect::kClear, MS_NOSYMFOLLOW},
    {"sync", Effect::kSet, MS_SYNCHRONOUS},
});

constexpr auto kPropagationWords = std::to_array<FlagWord>({
    {"private", Effect::kSet, MS_PRIVATE},
    {"rprivate", Effect::kSet, MS_PRIVATE | MS_REC},
    {"rshared", Effect::kSet, MS_SHARED | MS_REC},
    {"rslave", Effect::kSet, MS_SLAVE | MS_REC},
    {"runbindable", Effect::kSet, MS_UNBINDABLE | MS_REC},
    {"shared", Effect::kSet, MS_SHARED},
    {"slave", Effect::kSet, MS_SLAVE},
    {"unbindable", Effect::kSet, MS_UNBINDABLE},
});

// The access time is one field of several values: setting a value clears the whole field first.
struct RecursiveWord {
  std::string_view word;
  unsigned long set, clear;
};

constexpr auto kRecursiveWords = std::to_array<RecursiveWord>({
    {"ratime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"rdev", 0, MOUNT_ATTR_NODEV},
    {"rdiratime", 0, MOUNT_ATTR_NODIRATIME},
    {"rexec", 0, MOUNT_ATTR_NOEXEC},
    {"rnoatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"rnodev", MOUNT_ATTR_NODEV, 0},
    {"rnodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"rnoexec", MOUNT_ATTR_NOEXEC, 0},
    {"rnorelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"rnostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"rnosuid", MOUNT_ATTR_NOSUID, 0},
    {"rnosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"rrelatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"rro", MOUNT_ATTR_RDONLY, 0},
    {"rrw", 0, MOUNT_ATTR_RDONLY},
    {"rstrictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"rsuid", 0, MOUNT_ATTR_NOSUID},
    {"rsymfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
});

template <typename Table>
auto find_word(const Table& table, std::string_view word) {
  return std::find_if(table.begin(), table.end(), [&](const auto& entry) { return entry.word == word; });
}

void apply_flag(MountOptions& options, const FlagWord& entry) {
  if (entry.effect == Effect::kSet) {
    options.flags |= entry.flags;
    options.cleared &= ~entry.flags;
  } else {
    options.flags &= ~entry.flags;
    options.cleared |= entry.flags;
  }
}

void apply_recursive(MountOptions& options, const RecursiveWord& entry) {
  options.recursive_set = (options.recursive_set & ~entry.clear) | entry.set;
  // A bit that is both set and cleared is refused by the kernel, except in the access time field.
  options.recursive_clear = (options.recursive_clear & ~entry.set) | entry.clear;
}

std::string describe(const std::string& source, const std::string& target, const std::string& fstype) {
  return "mounting " + (source.empty() ? "nothing" : source) + (fstype.empty() ? "" : " (" + fstype + ")") +
         " on " + target;
}

}  // namespace

std::vector<std::string_view> mount_option_words() {
  std::vector<std::string_view> words = {"tmpcopyup"};
  const auto add = [&](const auto& table) {
    for (const auto& entry : table) words.push_back(entry.word);
  };
  add(kFlagWords);
  add(kPropagationWords);
  add(kRecursiveWords);
  std::ranges::sort(words);
  return words;
}

MountOptions parse_mount_options(const std::vector<std::string>& words) {
  MountOptions options;
  for (const std::string& word : words) {
    if (const auto* flag = find_word(kFlagWords, word); flag != kFlagWords.end()) {
      apply_flag(options, *flag);
    } else if (const auto* kind = find_word(kPropagationWords, word); kind != kPropagationWords.end()) {
      options.propagation = kind->flags;
    } else if (const auto* deep = find_word(kRecursiveWords, word); deep != kRecursiveWords.end()) {
      apply_recursive(options, *deep);
    } else if (word == "tmpcopyup") {
      options.tmpcopyup = true;
    } else if (!word.empty() && word != "defaults") {
      if (!options.data.empty()) options.data += ',';
      options.data += word;
    }
  }
  return options;
}

void mount(const std::string& source, const std::string& target, const std::string& fstype,
           unsigned long flags, const std::string& data) {
  const auto or_null = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
  if (::mount(or_null(source), target.c_str(), or_null(fstype), flags, or_null(data)) != 0)
    throw_errno(describe(source, target, fstype));
}

void bind_mount(const std::string& source, const std::string& target, BindDepth depth) {
  mount(source, target, "", MS_BIND | (depth == BindDepth::kRecursive ? MS_REC : 0UL), "");
}

void remount_readonly(const std::string& target) {
  // Flags that are not repeated in a remount would be lost (nosuid and friends).
  constexpr unsigned long kKept = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME;
  struct statfs info{};
  unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;
  if (::statfs(target.c_str(), &info) == 0) flags |= static_cast<unsigned long>(info.f_flags) & kKept;
  if (::mount(nullptr, target.c_str(), nullptr, flags, nullptr) != 0)
    throw_errno("remounting " + target + " read-only");
}

void set_propagation(const std::string& target, unsigned long propagation) {
  if (::mount(nullptr, target.c_str(), nullptr, propagation, nullptr) != 0)
    throw_errno("changing the mount propagation of " + target);
}

void unmount_detach(const std::string& target) {
  if (::umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return;
  if (errno == EINVAL || errno == ENOENT) return;
  throw_errno("unmounting " + target);
}

}  // namespace kata::kernel
