#include "host/resource/share_fs/virtiofsd.h"

#include <array>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/async/child_process.h"
#include "lib/async/deadline.h"
#include "lib/fd/io.h"

namespace kata::share_fs {
namespace {

constexpr const char* kQemuPlace = "/usr/lib/qemu/virtiofsd";
constexpr uint64_t kWantedFiles = 1'000'000;
constexpr Duration kVersionLimit = std::chrono::seconds(5);

void add_c_options(std::vector<std::string>& argv, const VirtiofsdOptions& options) {
  // The C program's word for "never" is "none".
  const std::string cache = options.cache == "never" ? "none" : options.cache;
  const bool debug = options.verbosity == VirtiofsdOptions::Verbosity::kDebug;
  argv.insert(argv.end(), {"-f", "-o", "source=" + options.shared_dir, "-o", "cache=" + cache, "-o",
                           std::string("log_level=") + (debug ? "info" : "warn")});
}

void add_rust_options(std::vector<std::string>& argv, const VirtiofsdOptions& options) {
  const bool debug = options.verbosity == VirtiofsdOptions::Verbosity::kDebug;
  argv.insert(argv.end(), {"--shared-dir", options.shared_dir, "--cache", options.cache, "--log-level",
                           debug ? "info" : "warn"});
}

}  // namespace

std::vector<std::string> virtiofsd_command(Flavour flavour, const VirtiofsdOptions& options) {
  std::vector<std::string> argv = {options.program, "--fd=" + std::to_string(options.listen_fd)};
  if (flavour == Flavour::kC) {
    add_c_options(argv, options);
  } else {
    add_rust_options(argv, options);
  }
  if (options.nofile) argv.push_back("--rlimit-nofile=" + std::to_string(*options.nofile));
  argv.insert(argv.end(), options.extra_args.begin(), options.extra_args.end());
  return argv;
}

std::optional<Flavour> flavour_of_version(std::string_view text) {
  constexpr std::string_view name = "virtiofsd ";
  for (size_t at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    const std::string_view rest = text.substr(at + name.size());
    if (rest.starts_with("version ")) return Flavour::kC;
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return Flavour::kRust;
  }
  return std::nullopt;
}

Awaitable<Flavour> detect_flavour(std::string program) {
  if (program == kQemuPlace) co_return Flavour::kC;
  const auto executor = co_await asio::this_coro::executor;
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("making a pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  Command command;
  command.argv = {program, "--version"};
  command.stdout_fd = writer.get();
  command.stderr_fd = writer.get();
  command.parent_death = Command::ParentDeath::kKill;
  const auto child = ChildProcess::start(executor, command);
  writer.reset();
  std::exception_ptr failure;
  try {
    co_await with_deadline(child->wait(), kVersionLimit, "asking " + program + " for its version");
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await child->stop({});
    std::rethrow_exception(failure);
  }
  // What fits into the pipe is enough; a program that writes more ran into the limit above.
  set_nonblocking(reader.get());
  std::array<char, 1024> text;
  const ssize_t n = ::read(reader.get(), text.data(), text.size());
  const std::string_view version(text.data(), n > 0 ? static_cast<size_t>(n) : 0);
  const std::optional<Flavour> flavour = flavour_of_version(version);
  if (!flavour)
    throw Error(Code::kFailedPrecondition,
                program + " (hypervisor.qemu.virtio_fs_daemon) is no virtiofsd: --version says \"" +
                    std::string(version.substr(0, version.find('\n'))) + "\"");
  co_return *flavour;
}

const std::vector<std::string>& virtiofsd_places() {
  static const std::vector<std::string> places = {"/usr/libexec/virtiofsd", kQemuPlace};
  return places;
}

std::string find_virtiofsd(const std::string& configured, const std::vector<std::string>& places) {
  struct stat info{};
  if (!configured.empty()) {
    if (::stat(configured.c_str(), &info) != 0 || !S_ISREG(info.st_mode))
      throw Error(Code::kNotFound,
                  "virtiofsd " + configured + " not found (hypervisor.qemu.virtio_fs_daemon)");
    return configured;
  }
  std::string tried;
  for (const std::string& place : places) {
    if (::stat(place.c_str(), &info) == 0 && S_ISREG(info.st_mode)) return place;
    tried += (tried.empty() ? "" : ", ") + place;
  }
  throw Error(Code::kNotFound, "virtiofsd not found (looked for " + tried +
                                   "): install it or set hypervisor.qemu.virtio_fs_daemon");
}

std::optional<uint64_t> nofile_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max >= kWantedFiles) return std::nullopt;
  return limit.rlim_max;
}

}  // namespace kata::share_fs
