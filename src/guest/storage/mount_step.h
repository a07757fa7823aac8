// The steps that handlers share: folders, options, a mount that cannot hang the agent.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guest/storage/storage.h"

namespace kata::storage {

// How long a file system may take to mount before the request fails.
constexpr std::chrono::seconds kMountLimit{25};

// Makes `path` and its parents; those that did not exist are added to made.directories.
void make_directories(const std::string& path, Attached& made);

// An option of the form "<name>=<value>"; the last one wins.
std::optional<std::string> option_value(const std::vector<std::string>& options, std::string_view name);
// Throws kInvalidArgument naming `option` when `text` is no number of that base.
uint64_t parse_number(const std::string& text, int base, std::string_view option);
// The options without those named "<name>" or "<name>=...".
std::vector<std::string> without_option(const std::vector<std::string>& options, std::string_view name);

// Mounts in a child process within kMountLimit. A mount of the same type that is on the target already counts
// as done (unless remounting is asked for). Refuses `loop`.
Awaitable<> mount_storage(const Storage& storage, const std::string& source,
                          const std::vector<std::string>& options, Attached& made);

// chown to the group plus setgid, for options fsgid=<gid> of ephemeral and local.
void apply_fsgid(const std::string& path, const std::string& gid);

// Recursive change of group and mode (Storage.fs_group).
void apply_fs_group(const std::string& path, const FsGroup& group, const std::vector<std::string>& options);

}  // namespace kata::storage
