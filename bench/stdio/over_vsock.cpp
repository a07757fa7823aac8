// Runs a program in the guest with its standard input or output being a vsock stream: the floor that the streams of a container
// are compared with. usage: over_vsock in|out PORT PROGRAM [ARGUMENT...]. Accepts one connection on PORT.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>

#include <linux/vm_sockets.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int listener = ::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = static_cast<unsigned>(std::atoi(argv[2]));
  if (listener < 0 || ::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 1) != 0) {
    std::perror("listening on vsock");
    return 1;
  }
  const int stream = ::accept(listener, nullptr, nullptr);
  if (stream < 0) {
    std::perror("accepting on vsock");
    return 1;
  }
  ::dup2(stream, std::strcmp(argv[1], "in") == 0 ? 0 : 1);
  ::execvp(argv[3], argv + 3);
  std::perror(argv[3]);
  return 127;
}
