// Runs in a container: a raw vsock stream to or from the host, as the bound of what a container's stdio can
// reach.
//
//   vsock_pipe out PORT             copies stdin to the host
//   vsock_pipe in PORT              copies what the host sends to stdout, until the host ends the stream
//   vsock_pipe exec PORT CMD ...    CMD with the stream itself as stdout
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <linux/vm_sockets.h>
#include <string_view>
#include <sys/socket.h>

#include <unistd.h>

namespace {

constexpr size_t kPiece = 65536;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

int connect_host(unsigned port) {
  const int stream = ::socket(AF_VSOCK, SOCK_STREAM, 0);
  if (stream < 0) fail("vsock_pipe: socket");
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_HOST;
  address.svm_port = port;
  if (::connect(stream, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("vsock_pipe: connect");
  return stream;
}

void copy(int from, int to) {
  static std::array<char, kPiece> buffer;
  while (true) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0) fail("vsock_pipe: read");
    if (got == 0) return;
    for (ssize_t done = 0; done < got;) {
      const ssize_t written = ::write(to, buffer.data() + done, static_cast<size_t>(got - done));
      if (written <= 0) fail("vsock_pipe: write");
      done += written;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: vsock_pipe out|in PORT, or vsock_pipe exec PORT COMMAND...\n", stderr);
    return 2;
  }
  const std::string_view mode = argv[1];
  const int stream = connect_host(static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)));
  if (mode == "exec" && argc > 3) {
    if (::dup2(stream, STDOUT_FILENO) < 0) fail("vsock_pipe: dup2");
    ::close(stream);
    ::execvp(argv[3], argv + 3);
    fail("vsock_pipe: exec");
  }
  if (mode == "in") {
    copy(stream, STDOUT_FILENO);
  } else {
    copy(STDIN_FILENO, stream);
  }
  return 0;
}
