// tmpcopyup: a fresh tmpfs gets what the directory below it holds.
#pragma once

#include <string>

namespace kata::container {

// Copies the tree in directory `from` into the empty directory `to`: files, directories, links, device nodes,
// fifos, with mode, owner and times. `what` names the place in errors. Bounded by the size of the tmpfs and a
// depth of 64.
void copy_up(int from, int to, const std::string& what);

}  // namespace kata::container
