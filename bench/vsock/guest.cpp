// The guest of the vsock tests and measurements: pid 1 that loads the boot modules, serves a few vsock ports
// and powers off when told so. Static, without allocation in its loops.
//
//   1024 echo      every byte comes back
//   1025 sink      takes a count (8 bytes, little-endian), reads as many bytes, or until end of file for 0,
//   and answers
//                  how many there were
//   1026 source    takes a count (8 bytes), sends as many bytes, closes
//   1027 call      takes a host port (4 bytes), connects there, relays both ways until both ends are done
//   1028 silent    accepts and never reads
//   1029 off       powers off
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <linux/vm_sockets.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace {

constexpr uint32_t kEcho = 1024;
constexpr uint32_t kSink = 1025;
constexpr uint32_t kSource = 1026;
constexpr uint32_t kCall = 1027;
constexpr uint32_t kSilent = 1028;
constexpr uint32_t kOff = 1029;
constexpr std::array kPorts = {kEcho, kSink, kSource, kCall, kSilent, kOff};

std::array<char, 65536> buffer;

void load_modules() {
  FILE* list = std::fopen("/lib/modules/kata-modules.load", "re");
  std::array<char, 512> line;
  while (list != nullptr && std::fgets(line.data(), line.size(), list) != nullptr) {
    line[std::strcspn(line.data(), "\n")] = '\0';
    const int fd = ::open(line.data(), O_RDONLY | O_CLOEXEC);
    if (::syscall(SYS_finit_module, fd, "", 0) != 0)
      std::printf("guest: %s: %s\n", line.data(), std::strerror(errno));
    ::close(fd);
  }
}

int vsock_socket(uint32_t cid, uint32_t port, int (*act)(int, const sockaddr*, socklen_t)) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  const int fd = ::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || act(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    std::printf("guest: port %u: %s\n", port, std::strerror(errno));
    ::close(fd);
    return -1;
  }
  return fd;
}

bool write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t count = ::write(fd, data, size);
    if (count <= 0) return false;
    data += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

bool read_all(int fd, void* data, size_t size) {
  auto* position = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t count = ::read(fd, position, size);
    if (count <= 0) return false;
    position += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

void echo(int fd) {
  for (ssize_t count = 0; (count = ::read(fd, buffer.data(), buffer.size())) > 0;)
    if (!write_all(fd, buffer.data(), static_cast<size_t>(count))) return;
}

void sink(int fd) {
  uint64_t wanted = 0;
  if (!read_all(fd, &wanted, sizeof(wanted))) return;
  uint64_t total = 0;
  while (wanted == 0 || total < wanted) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count <= 0) break;
    total += static_cast<uint64_t>(count);
  }
  write_all(fd, reinterpret_cast<const char*>(&total), sizeof(total));
}

void source(int fd) {
  uint64_t left = 0;
  if (!read_all(fd, &left, sizeof(left))) return;
  while (left > 0) {
    const size_t size = left < buffer.size() ? left : buffer.size();
    if (!write_all(fd, buffer.data(), size)) return;
    left -= size;
  }
}

// Bytes from `from` to `to` until end of file, which is passed on as a half close.
void pass(int from, int to) {
  for (ssize_t count = 0; (count = ::read(from, buffer.data(), buffer.size())) > 0;)
    if (!write_all(to, buffer.data(), static_cast<size_t>(count))) break;
  ::shutdown(to, SHUT_WR);
}

void call(int fd) {
  uint32_t port = 0;
  if (!read_all(fd, &port, sizeof(port))) return;
  const int host = vsock_socket(VMADDR_CID_HOST, port, &::connect);
  if (host < 0) {
    constexpr char kNo[] = "no listener\n";
    write_all(fd, kNo, sizeof(kNo) - 1);
    return;
  }
  if (::fork() == 0) {
    pass(fd, host);
    std::_Exit(0);
  }
  pass(host, fd);
  ::wait(nullptr);
}

[[noreturn]] void power_off() {
  ::sync();
  ::reboot(RB_POWER_OFF);
  std::abort();
}

void serve(uint32_t port, int fd) {
  switch (port) {
    case kEcho:
      return echo(fd);
    case kSink:
      return sink(fd);
    case kSource:
      return source(fd);
    case kCall:
      return call(fd);
    case kSilent:
      ::pause();
      return;
    default:
      return;
  }
}

void accept_one(uint32_t port, int listener) {
  const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  if (port == kOff) power_off();
  if (::fork() == 0) {
    serve(port, fd);
    std::_Exit(0);
  }
  ::close(fd);
}

}  // namespace

int main() {
  ::mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr);
  ::mount("proc", "/proc", "proc", 0, nullptr);
  ::mount("sysfs", "/sys", "sysfs", 0, nullptr);
  ::signal(SIGCHLD, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  load_modules();
  std::array<pollfd, kPorts.size()> listeners{};
  for (size_t i = 0; i < kPorts.size(); ++i) {
    listeners[i] = {.fd = vsock_socket(VMADDR_CID_ANY, kPorts[i], &::bind), .events = POLLIN, .revents = 0};
    ::listen(listeners[i].fd, 1024);
  }
  std::puts("guest: listening");
  std::fflush(stdout);
  while (::poll(listeners.data(), listeners.size(), -1) > 0 || errno == EINTR) {
    for (size_t i = 0; i < kPorts.size(); ++i)
      if ((listeners[i].revents & POLLIN) != 0) accept_one(kPorts[i], listeners[i].fd);
  }
  power_off();
}
