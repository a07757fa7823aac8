// Reads a disk in a guest, past the page cache, and prints what it got: "<operations per second> <MB/s>".
//   disk_read NODE SECONDS     random reads of 4 KiB one after the other, then the disk from its beginning,
//   each so long
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

#include <fcntl.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kSmall = 4096, kLarge = size_t{1} << 20;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const double limit = std::atof(argv[2]);
  const int disk = ::open(argv[1], O_RDONLY | O_DIRECT);
  if (disk < 0) fail(argv[1]);
  const auto size = static_cast<uint64_t>(::lseek(disk, 0, SEEK_END));
  char* buffer = static_cast<char*>(std::aligned_alloc(kSmall, kLarge));
  std::mt19937_64 random(1);
  uint64_t operations = 0, bytes = 0;
  Clock::time_point begin = Clock::now();
  for (; seconds_since(begin) < limit; ++operations) {
    const auto at = static_cast<off_t>(random() % (size / kSmall) * kSmall);
    if (::pread(disk, buffer, kSmall, at) != static_cast<ssize_t>(kSmall)) fail("random read");
  }
  const double each = static_cast<double>(operations) / seconds_since(begin);
  begin = Clock::now();
  for (uint64_t at = 0; seconds_since(begin) < limit; at = at + 2 * kLarge > size ? 0 : at + kLarge) {
    const ssize_t n = ::pread(disk, buffer, kLarge, static_cast<off_t>(at));
    if (n <= 0) fail("sequential read");
    bytes += static_cast<uint64_t>(n);
  }
  std::printf("%.0f %.1f\n", each, static_cast<double>(bytes) / 1e6 / seconds_since(begin));
  return 0;
}
