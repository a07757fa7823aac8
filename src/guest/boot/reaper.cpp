#include "guest/boot/reaper.h"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <string>
#include <string_view>
#include <sys/wait.h>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/fd/unique_fd.h"

namespace kata::boot {
namespace {

// One pass takes at most so many, so that a storm of exits does not hold up the event loop.
constexpr int kBatch = 256;
constexpr std::chrono::milliseconds kRetry{20};

// The "Pid:" line of a pidfd's fdinfo; 0 when the descriptor is something else.
pid_t pid_of_fdinfo(int directory, const char* name) {
  const UniqueFd file(::openat(directory, name, O_RDONLY | O_CLOEXEC));
  char buffer[512];
  const ssize_t size = file ? ::read(file.get(), buffer, sizeof buffer) : -1;
  if (size <= 0) return 0;
  const std::string_view text(buffer, static_cast<size_t>(size));
  constexpr std::string_view kLabel = "\nPid:\t";
  const size_t at = text.find(kLabel);
  if (at == std::string_view::npos) return 0;
  pid_t pid = 0;
  std::from_chars(text.data() + at + kLabel.size(), text.data() + text.size(), pid);
  return pid;
}

// The first zombie child, left as it is; 0 = none.
pid_t first_zombie() {
  siginfo_t info{};
  int rc = 0;
  do {
    rc = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
  } while (rc != 0 && errno == EINTR);
  return rc == 0 ? info.si_pid : 0;
}

}  // namespace

std::set<pid_t> watched_pids() {
  std::set<pid_t> pids;
  DIR* const directory = ::opendir("/proc/self/fdinfo");
  if (directory == nullptr) return pids;
  while (const dirent* entry = ::readdir(directory)) {
    const pid_t pid = pid_of_fdinfo(::dirfd(directory), entry->d_name);
    if (pid > 0) pids.insert(pid);
  }
  ::closedir(directory);
  return pids;
}

bool reap_orphans() {
  pid_t pid = first_zombie();
  if (pid == 0) return false;
  const std::set<pid_t> watched = watched_pids();
  for (int i = 0; i < kBatch && pid != 0; ++i) {
    if (watched.contains(pid)) return true;
    ::waitpid(pid, nullptr, WNOHANG);
    pid = first_zombie();
  }
  return pid != 0;
}

Reaper::Reaper(const boost::asio::any_io_executor& executor)
    : signals_(executor, SIGCHLD), again_(executor) {}

void Reaper::start() {
  on_signal();
  // Those that died before the handler was there.
  pass();
}

void Reaper::stop() {
  stopped_ = true;
  signals_.cancel();
  again_.cancel();
}

void Reaper::on_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (error || stopped_) return;
    pass();
    on_signal();
  });
}

void Reaper::pass() {
  if (!reap_orphans()) return;
  again_.expires_after(kRetry);
  again_.async_wait([this](const boost::system::error_code& error) {
    if (!error && !stopped_) pass();
  });
}

}  // namespace kata::boot
