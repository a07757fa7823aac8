#include "host/config/config.h"

#include <cstdlib>
#include <sys/sysinfo.h>

#include <sched.h>

namespace kata::config {

std::string Config::describe(std::string_view key) const {
  const std::size_t dot = key.find('.');
  const std::string_view table = key.substr(0, dot);
  std::string full{table};
  if (table == "hypervisor") full += "." + hypervisor_name;
  if (table == "agent") full += "." + agent_name;
  if (dot != std::string_view::npos) full += key.substr(dot);
  const auto found = origins.find(full);
  return full + (found == origins.end() ? " (default)" : " " + found->second);
}

HostFacts host_facts() {
  HostFacts facts;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) {
    facts.cpus = static_cast<uint32_t>(CPU_COUNT(&set));
  } else {
    facts.cpus = static_cast<uint32_t>(get_nprocs());
  }
  struct sysinfo info{};
  if (sysinfo(&info) == 0) facts.memory_mib = uint64_t{info.totalram} * info.mem_unit >> 20;
  return facts;
}

std::optional<std::string> conf_file_variable() {
  const char* text = std::getenv("KATA_CONF_FILE");
  return text == nullptr ? std::nullopt : std::optional<std::string>(text);
}

}  // namespace kata::config
