// Folders of the agent: made with parents, removed with content.
#pragma once

#include <string>

namespace kata::sandbox {

// mkdir -p. Throws Error naming the part that failed.
void make_folders(const std::string& path);
// Unmounts everything at and below `path` (detached, deepest first), then removes the tree. Does not leave
// the file system of `path`, does not follow symbolic links. Best effort: what cannot be removed is logged.
void remove_tree(const std::string& path);

}  // namespace kata::sandbox
