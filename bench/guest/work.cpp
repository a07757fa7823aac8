// Work in a guest whose speed is compared; prints two figures.
//   work files FOLDER COUNT        makes, reads, looks at and deletes so many files of 1 KiB: "<files a
//   second> <seconds>" work tcp ADDRESS PORT SECONDS  sends as long as that, then receives: "<MB/s sent>
//   <MB/s received>"
#include <arpa/inet.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void require(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::exit(1);
}

int files(const std::string& folder, int count) {
  std::vector<char> data(1024, 'x');
  std::vector<std::string> names;
  names.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) names.push_back(folder + "/file" + std::to_string(i));
  const Clock::time_point begin = Clock::now();
  for (const std::string& name : names) {
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
    require(fd >= 0 && ::write(fd, data.data(), data.size()) == 1024, "creating a file");
    ::close(fd);
  }
  for (const std::string& name : names) {
    const int fd = ::open(name.c_str(), O_RDONLY);
    require(fd >= 0 && ::read(fd, data.data(), data.size()) == 1024, "reading a file");
    ::close(fd);
  }
  struct stat info{};
  for (const std::string& name : names) require(::stat(name.c_str(), &info) == 0, "looking at a file");
  for (const std::string& name : names) require(::unlink(name.c_str()) == 0, "deleting a file");
  const double seconds = seconds_since(begin);
  std::printf("%.1f %.3f\n", count / seconds, seconds);
  return 0;
}

int connect_to(const char* address, const char* port) {
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  require(::inet_pton(AF_INET, address, &peer.sin_addr) == 1, address);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  require(fd >= 0, "making a socket");
  require(::connect(fd, reinterpret_cast<const sockaddr*>(&peer), sizeof peer) == 0, "connecting");
  return fd;
}

// The peer takes all of the first connection, and sends on the second one until it is closed.
int tcp(const char* address, const char* port, double limit) {
  std::vector<char> data(size_t{256} << 10, 'x');
  double bytes = 0;
  int fd = connect_to(address, port);
  Clock::time_point begin = Clock::now();
  while (seconds_since(begin) < limit) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    require(n > 0, "sending");
    bytes += static_cast<double>(n);
  }
  // Until the peer has all.
  ::shutdown(fd, SHUT_WR);
  require(::read(fd, data.data(), 1) == 0, "waiting for the peer");
  const double sent = bytes / 1e6 / seconds_since(begin);
  ::close(fd);
  fd = connect_to(address, port);
  bytes = 0;
  begin = Clock::now();
  while (seconds_since(begin) < limit) {
    const ssize_t n = ::read(fd, data.data(), data.size());
    require(n > 0, "receiving");
    bytes += static_cast<double>(n);
  }
  std::printf("%.1f %.1f\n", sent, bytes / 1e6 / seconds_since(begin));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "files") == 0) return files(argv[2], std::atoi(argv[3]));
  if (argc == 5 && std::strcmp(argv[1], "tcp") == 0) return tcp(argv[2], argv[3], std::atof(argv[4]));
  return 2;
}
