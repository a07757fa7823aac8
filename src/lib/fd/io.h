// Whole-buffer file helpers on descriptors and paths: what read(2), write(2) and open(2) leave to the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "lib/fd/unique_fd.h"

namespace kata {

// open(2) with O_CLOEXEC added. Throws Error "opening <path>: ..." on failure.
UniqueFd open_file(const std::string& path, int flags, mode_t mode = 0);

// A file in memory (memfd_create(2)) of at least `size` bytes that begins with `data`; read-only. `what` is
// for errors.
UniqueFd memory_file(const char* name, std::string_view data, uint64_t size, std::string_view what);

// Writes all of `data`, through short writes and EINTR. Throws Error naming `what`.
void write_all(int fd, std::string_view data, std::string_view what);

// Reads until end of file; more than `limit` bytes is kResourceExhausted.
std::string read_all(int fd, size_t limit, std::string_view what);

// The content of a file of at most `limit` bytes (sysfs and procfs files included: their size is not asked).
std::string read_file(const std::string& path, size_t limit = size_t{16} << 20);

// Creates or truncates `path` and writes `data`.
void write_file(const std::string& path, std::string_view data, mode_t mode = 0644);

// Writes beside `path` and renames onto it, so that a reader or a crash sees the old or the new content,
// never a part.
void write_file_atomic(const std::string& path, std::string_view data, mode_t mode = 0600);

// Writes into a file that must exist already (sysfs, cgroupfs, procfs): no creation, no truncation.
void write_existing(const std::string& path, std::string_view data);

void set_nonblocking(int fd);

}  // namespace kata
