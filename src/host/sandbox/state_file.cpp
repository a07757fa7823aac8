#include "host/sandbox/state_file.h"

#include <csignal>
#include <cstdlib>
#include <sys/syscall.h>
#include <utility>

#include <poll.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::sandbox {
namespace {

namespace json = boost::json;

// Field 22 of /proc/<pid>/stat (proc(5)). The program's name, field 2, may hold spaces and parentheses: count
// behind the last one.
std::optional<uint64_t> start_time_of(pid_t pid) {
  std::string stat;
  try {
    stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  } catch (const Error&) {
    return std::nullopt;
  }
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  size_t position = name_end;
  for (int field = 2; field < 22; ++field) {
    position = stat.find(' ', position + 1);
    if (position == std::string::npos) return std::nullopt;
  }
  return std::strtoull(stat.c_str() + position, nullptr, 10);
}

}  // namespace

void save_state(const std::string& path, const SandboxState& state) {
  json::array processes;
  for (const RecordedProcess& process : state.processes) {
    processes.push_back(
        json::object{{"role", process.role}, {"pid", process.pid}, {"start_time", process.start_time}});
  }
  json::array cgroups;
  for (const std::string& folder : state.cgroups) cgroups.emplace_back(folder);
  json::array hooked;
  for (const HookedContainer& container : state.hooked)
    hooked.push_back(json::object{{"id", container.id}, {"bundle", container.bundle}});
  const json::object root{{"version", SandboxState::kVersion},
                          {"sandbox_id", state.sandbox_id},
                          {"containerd_namespace", state.containerd_namespace},
                          {"processes", std::move(processes)},
                          {"cgroups", std::move(cgroups)},
                          {"hooked", std::move(hooked)}};
  write_file_atomic(path, json::serialize(root));
}

std::optional<SandboxState> load_state(const std::string& path) {
  try {
    const json::value value = json::parse(read_file(path, size_t{1} << 20));
    const json::object& root = value.as_object();
    if (root.at("version").to_number<int>() != SandboxState::kVersion) return std::nullopt;
    SandboxState state;
    state.sandbox_id = json::value_to<std::string>(root.at("sandbox_id"));
    state.containerd_namespace = json::value_to<std::string>(root.at("containerd_namespace"));
    for (const json::value& entry : root.at("processes").as_array()) {
      const json::object& process = entry.as_object();
      state.processes.push_back({.role = json::value_to<std::string>(process.at("role")),
                                 .pid = process.at("pid").to_number<pid_t>(),
                                 .start_time = process.at("start_time").to_number<uint64_t>()});
    }
    if (const json::value* cgroups = root.if_contains("cgroups")) {
      for (const json::value& folder : cgroups->as_array())
        state.cgroups.push_back(json::value_to<std::string>(folder));
    }
    if (const json::value* hooked = root.if_contains("hooked")) {
      for (const json::value& entry : hooked->as_array()) {
        const json::object& container = entry.as_object();
        state.hooked.push_back({.id = json::value_to<std::string>(container.at("id")),
                                .bundle = json::value_to<std::string>(container.at("bundle"))});
      }
    }
    return state;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::optional<RecordedProcess> record_process(std::string role, pid_t pid) {
  const auto start_time = start_time_of(pid);
  if (!start_time) return std::nullopt;
  return RecordedProcess{.role = std::move(role), .pid = pid, .start_time = *start_time};
}

bool kill_recorded(const RecordedProcess& process) {
  if (process.pid <= 1) return false;
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  // The pidfd pins the process, so the start time that is read now belongs to whatever the signal will reach.
  if (!pidfd || start_time_of(process.pid) != process.start_time) return false;
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) != 0) return false;
  pollfd entry{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  ::poll(&entry, 1, 1000);
  return true;
}

}  // namespace kata::sandbox
