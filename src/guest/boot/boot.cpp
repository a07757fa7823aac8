#include "guest/boot/boot.h"

#include <cstdlib>
#include <ctime>
#include <sys/prctl.h>

#include <fcntl.h>
#include <unistd.h>

#include "guest/boot/early_mounts.h"
#include "guest/boot/first_stage.h"
#include "guest/boot/modules.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::boot {
namespace {

AgentConfig unwrap(std::expected<AgentConfig, Error> parsed) {
  if (!parsed) throw parsed.error();
  return std::move(*parsed);
}

AgentConfig load_config(Role role, const std::string& config_path) {
  constexpr size_t kLimit = size_t{1} << 20;
  AgentConfig config;
  if (!config_path.empty()) {
    config = unwrap(parse_config_file(read_file(config_path, kLimit)));
  } else if (role == Role::kInit || ::access("/proc/cmdline", R_OK) == 0) {
    config = unwrap(parse_command_line(read_file("/proc/cmdline", kLimit)));
    // By contract this file replaces everything, the environment too.
    if (!config.config_file.empty()) return unwrap(parse_config_file(read_file(config.config_file, kLimit)));
  }
  if (auto applied = apply_environment(environ, config); !applied) throw applied.error();
  return config;
}

// What the first request may need but the listening socket does not.
void finish_guest(const AgentConfig& config) {
  mount_working_filesystems(config.cgroups);
  try {
    bring_loopback_up();
  } catch (const Error& error) {
    log::warning("loopback interface left down", {{"error", error.message()}});
  }
  ::setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 0);
}

}  // namespace

uint64_t boot_clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

std::unique_ptr<log::Sink> console_sink(Role role) {
  if (role != Role::kInit) return log::text_sink(STDERR_FILENO);
  // A console of its own open file description: non-blocking, so that a host that does not read loses lines
  // and does not stop pid 1.
  const int fd = ::open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  return log::text_sink(fd >= 0 ? fd : STDERR_FILENO);
}

Booted boot(Role role, const std::string& config_path) {
  Booted booted;
  booted.times.started = boot_clock_ns();
  if (role == Role::kInit) {
    if (!is_first_stage()) leave_initramfs();
    mount_kernel_filesystems();
  }
  log::set_sink(console_sink(role));
  if (role == Role::kInit && is_first_stage()) enter_root_image();
  booted.config = load_config(role, config_path);
  log::set_level(booted.config.log_level);
  for (const std::string& text : booted.config.warnings) log::warning(text);
  auto address = parse_listen_address(booted.config.server_address);
  if (!address) throw address.error();
  booted.address = std::move(*address);
  if (role == Role::kInit) {
    ModulePlan plan = read_module_plan();
    booted.times.modules_started = boot_clock_ns();
    for (const std::string& path : plan.first) load_module(path);
    booted.remaining_modules = std::move(plan.later);
    booted.times.modules_loaded = boot_clock_ns();
  }
  // Orphans of containers come to the agent, not past it.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  booted.listener = listen_on(booted.address);
  booted.times.listening = boot_clock_ns();
  const auto microseconds = [](uint64_t ns) { return std::to_string(ns / 1000); };
  log::info("agent listening on " + booted.address.text(),
            {{"version", KATA_VERSION},
             {"started_us", microseconds(booted.times.started)},
             {"modules_us", microseconds(booted.times.modules_loaded)},
             {"listening_us", microseconds(booted.times.listening)}});
  if (role == Role::kInit) {
    booted.device_modules = read_device_modules();
    finish_guest(booted.config);
  }
  return booted;
}

}  // namespace kata::boot
