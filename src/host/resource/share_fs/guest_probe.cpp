// The init of the test guest in guest_test.cpp: mounts the share, tries what a guest may and may not do, says
// so on the console and ends the VM.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

namespace {

void report(const char* what, int error) {
  std::printf("probe %s: %s\n", what, error == 0 ? "done" : std::strerror(error));
}

int try_write(const char* path, const char* text) {
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  const auto size = static_cast<ssize_t>(std::strlen(text));
  const int error = ::write(fd, text, std::strlen(text)) == size ? 0 : EIO;
  ::close(fd);
  return error;
}

void show(const char* path) {
  char text[64] = {};
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ::read(fd, text, sizeof text - 1) < 0) report(path, errno);
  std::printf("probe read: %s\n", text);
  if (fd >= 0) ::close(fd);
}

}  // namespace

int main() {
  ::mkdir("/s", 0755);
  report("mount", ::mount("kataShared", "/s", "virtiofs", MS_NODEV, nullptr) == 0 ? 0 : errno);
  show("/s/passthrough/c1/rootfs/message");
  report("write into the rootfs", try_write("/s/passthrough/c1/rootfs/answer", "from the guest"));
  report("write beside it", try_write("/s/passthrough/c1/stray", "x"));
  report("write into the read-only volume", try_write("/s/passthrough/volume", "x"));
  std::fflush(stdout);
  ::sync();
  ::reboot(RB_AUTOBOOT);
  return 0;
}
