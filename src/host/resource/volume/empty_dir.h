// emptyDirs as disks (emptydir_mode = block-plain): a sparse image in the emptyDir's own folder, which the
// guest mounts, so that its files cost no round trips to the node.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lib/async/awaitable.h"
#include "lib/oci/spec.h"

namespace kata::volume {

// The image file of a mount that is an emptyDir on disk; none for any other mount, memory-backed ones
// included.
std::optional<std::string> empty_dir_image(const oci::Mount& mount);

// Whether an emptyDir mount's folder says so by its place: .../kubernetes.io~empty-dir/<name>.
bool is_empty_dir(const std::string& source);

// Makes the image unless it is there: as large as its file system is (a limit of the emptyDir shows there),
// ext4 without a journal, owned by the folder's group. Throws kUnavailable without mke2fs.
Awaitable<> make_empty_dir_image(std::string path);

}  // namespace kata::volume
