#include "host/shim/process.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"
#include "lib/log/log.h"

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE 62
#define PR_SCHED_CORE_CREATE 1
#endif

namespace kata::shim {
namespace {

constexpr int kMaxOomScore = 1000;
// linux/sched.h's PIDTYPE_TGID: all threads of this process.
constexpr unsigned long kThreadGroup = 1;

// Unmaps the code of the mapping that a line of /proc/self/maps tells of: "begin-end r-xp offset device inode
// path".
void drop_code(std::string_view line) {
  unsigned long begin = 0, end = 0;
  const char* const last = line.data() + line.size();
  const auto first = std::from_chars(line.data(), last, begin, 16);
  if (first.ec != std::errc() || first.ptr == last || *first.ptr != '-') return;
  const auto second = std::from_chars(first.ptr + 1, last, end, 16);
  if (second.ec != std::errc() || end <= begin) return;
  const std::string_view rest(second.ptr, static_cast<size_t>(last - second.ptr));
  // Never written to, and backed by a file: the kernel can read every page again.
  if (!rest.starts_with(" r-xp ") || rest.find(" /") == std::string_view::npos) return;
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

void trim_memory() {
  ::malloc_trim(0);
  std::string maps;
  try {
    maps = read_file("/proc/self/maps");
  } catch (const Error&) {
    return;
  }
  for (std::string_view text = maps; !text.empty();) {
    const size_t end = std::min(text.find('\n'), text.size());
    drop_code(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void set_up_process() {
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM}) std::signal(signal, SIG_IGN);
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
    log::warning("the shim cannot adopt orphaned processes", {{"errno", std::to_string(errno)}});
  const char* const sched_core = std::getenv("SCHED_CORE");
  if (sched_core == nullptr || std::string_view(sched_core) != "1") return;
  if (::prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, kThreadGroup, 0) != 0) {
    log::warning("core scheduling was asked for (SCHED_CORE) and the kernel refuses it",
                 {{"error", Error::from_errno(errno, "prctl(PR_SCHED_CORE)").message()}});
  }
}

void set_up_log(const Flags& flags) {
  log::set_level(flags.debug ? log::Level::kDebug : log::Level::kInfo);
  log::set_identity({{"sandbox", flags.id}, {"namespace", flags.containerd_namespace}, {"source", "shim"}});
  // The sink keeps the descriptor for the life of the process.
  const int fifo = ::open("log", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  log::set_sink(fifo < 0 ? nullptr : log::json_sink(fifo));
}

void enter_private_mount_namespace() {
  if (::unshare(CLONE_NEWNS) != 0) throw_errno("entering a mount namespace of the shim's own");
  if (::mount("", "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0)
    throw_errno("making the shim's mounts slaves of the host's");
  if (::mount("", "/", nullptr, MS_SHARED | MS_REC, nullptr) != 0)
    throw_errno("making the shim's mounts shared");
}

std::string raise_oom_score() {
  try {
    const std::string text = read_file("/proc/" + std::to_string(::getppid()) + "/oom_score_adj", 64);
    int score = 0;
    std::from_chars(text.data(), text.data() + text.size(), score);
    write_existing("/proc/self/oom_score_adj", std::to_string(std::min(score + 1, kMaxOomScore)));
  } catch (const Error& error) {
    return error.message();
  }
  return {};
}

}  // namespace kata::shim
