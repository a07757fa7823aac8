#include "lib/fd/io.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <sys/mman.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"

namespace kata {

UniqueFd open_file(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) throw_errno("opening " + path);
  return fd;
}

UniqueFd memory_file(const char* name, std::string_view data, uint64_t size, std::string_view what) {
  UniqueFd file(::memfd_create(name, MFD_CLOEXEC));
  if (!file || ::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    throw_errno("making " + std::string(what));
  write_all(file.get(), data, what);
  return open_file("/proc/self/fd/" + std::to_string(file.get()), O_RDONLY);
}

void write_all(int fd, std::string_view data, std::string_view what) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("writing " + std::string(what));
    data.remove_prefix(static_cast<size_t>(n));
  }
}

std::string read_all(int fd, size_t limit, std::string_view what) {
  std::string result;
  std::array<char, 4096> chunk;
  for (;;) {
    const ssize_t n = ::read(fd, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("reading " + std::string(what));
    if (n == 0) return result;
    if (result.size() + static_cast<size_t>(n) > limit) {
      throw Error(Code::kResourceExhausted,
                  "reading " + std::string(what) + ": more than " + std::to_string(limit) + " bytes");
    }
    result.append(chunk.data(), static_cast<size_t>(n));
  }
}

std::string read_file(const std::string& path, size_t limit) {
  const UniqueFd fd = open_file(path, O_RDONLY);
  return read_all(fd.get(), limit, path);
}

void write_file(const std::string& path, std::string_view data, mode_t mode) {
  const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  write_all(fd.get(), data, path);
}

void write_file_atomic(const std::string& path, std::string_view data, mode_t mode) {
  const std::string temporary = path + ".new";
  try {
    write_file(temporary, data, mode);
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw_errno("renaming " + temporary + " to " + path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void write_existing(const std::string& path, std::string_view data) {
  const UniqueFd fd = open_file(path, O_WRONLY);
  write_all(fd.get(), data, path);
}

void set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    throw_errno("making a descriptor non-blocking");
}

}  // namespace kata
