#include <cerrno>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fcntl.h>
#include <unistd.h>

#include "guest/container/init/rooted_path.h"
#include "guest/container/init/stage.h"
#include "lib/error/error.h"

namespace kata::container {
namespace {

// The multiplexer of the container's own devpts. Checked to be one: the path is the container's.
UniqueFd open_multiplexer() {
  UniqueFd fd(::open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) fd.reset(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!fd) throw_errno("opening a terminal: /dev/pts/ptmx of the container");
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0 || !S_ISCHR(info.st_mode) || info.st_rdev != makedev(5, 2))
    throw Error(Code::kFailedPrecondition,
                "opening a terminal: /dev/pts/ptmx of the container is no pty multiplexer");
  return fd;
}

UniqueFd open_peer(int master) {
  int unlocked = 0;
  if (::ioctl(master, TIOCSPTLCK, &unlocked) != 0) throw_errno("unlocking a terminal");
  UniqueFd peer(::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!peer) throw_errno("opening the slave of a terminal");
  return peer;
}

// /dev/console of the container is this terminal.
void bind_console(int peer) {
  const UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd place = RootedPath(root.get()).ensure("/dev/console", RootedPath::Leaf::kFile);
  const UniqueFd tree(::open_tree(peer, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
  if (!tree ||
      ::move_mount(tree.get(), "", place.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    throw_errno("binding /dev/console");
}

}  // namespace

void open_console(const ProcessPlan& process, bool is_init, const AgentLink& agent) {
  const UniqueFd master = open_multiplexer();
  const UniqueFd peer = open_peer(master.get());
  if (process.rows != 0 || process.columns != 0) {
    winsize size{};
    size.ws_row = process.rows;
    size.ws_col = process.columns;
    ::ioctl(master.get(), TIOCSWINSZ, &size);
  }
  if (is_init) bind_console(peer.get());
  if (::ioctl(peer.get(), TIOCSCTTY, 0) != 0) throw_errno("taking the controlling terminal");
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(peer.get(), fd) < 0) throw_errno("placing the terminal");
  }
  agent.tell(Message::kConsole, master.get());
}

}  // namespace kata::container
