// The runtime's configuration as typed values: what configuration.toml, its drop-ins and the pod's
// annotations come to.
//
// The members of the structures are made from keys/*.def, one line per key; a member is named like its TOML
// key. Units: memory in MiB, times in the unit that the key's name gives. Paths are resolved (no symbolic
// links).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kata::config {

using StringList = std::vector<std::string>;
using OptionalBool = std::optional<bool>;
using OptionalU8 = std::optional<uint8_t>;
using OptionalU64 = std::optional<uint64_t>;
using OptionalI64 = std::optional<int64_t>;
using OptionalString = std::optional<std::string>;

#define KATA_KEY(type, name, initial, ...) type name = initial;

struct FactoryConfig {
#define KATA_FACTORY_KEYS
#include "host/config/keys/small_tables.def"
#undef KATA_FACTORY_KEYS
};

struct ExtensionImage {
#define KATA_EXTENSION_IMAGE_KEYS
#include "host/config/keys/small_tables.def"
#undef KATA_EXTENSION_IMAGE_KEYS
};

struct SharedMount {
#define KATA_SHARED_MOUNT_KEYS
#include "host/config/keys/small_tables.def"
#undef KATA_SHARED_MOUNT_KEYS
};

struct RootlessUser {
#define KATA_ROOTLESS_USER_KEYS
#include "host/config/keys/small_tables.def"
#undef KATA_ROOTLESS_USER_KEYS
};

struct MemAgentConfig {
#include "host/config/keys/mem_agent.def"
};

struct HypervisorConfig {
#include "host/config/keys/hypervisor.def"
};

struct AgentConfig {
#include "host/config/keys/agent.def"
};

struct RuntimeConfig {
#include "host/config/keys/runtime.def"
};

#undef KATA_KEY

struct Config {
  // The active tables, after annotations, fix-ups and validation.
  HypervisorConfig hypervisor;
  AgentConfig agent;
  RuntimeConfig runtime;
  std::string hypervisor_name;
  std::string agent_name;
  // Real path of the main file.
  std::string path;
  // What the user should know and what did not stop the load: unknown keys, ignored annotations. For the log.
  std::vector<std::string> warnings;

  // "hypervisor.qemu.kernel in /etc/.../configuration.toml:12", "... (default)", "... set by annotation X":
  // how messages name a value. `key` without the table's name: "hypervisor.kernel", "agent.dial_timeout_ms".
  [[nodiscard]] std::string describe(std::string_view key) const;

  // Where each value that is no default came from, by full key ("hypervisor.qemu.kernel").
  std::map<std::string, std::string, std::less<>> origins;
};

// What the host can give, for the clamps.
struct HostFacts {
  uint32_t cpus = 1;
  uint64_t memory_mib = 0;
};
HostFacts host_facts();

struct LoadRequest {
  // config_path of the create request's runtimeoptions; empty = none.
  std::string config_path;
  // config_body of the same: used when there is no path and it has a configuration's tables. containerd puts
  // all of a runtime's options there, which may be none of ours.
  std::string config_body;
  // KATA_CONF_FILE; absent = not set.
  std::optional<std::string> conf_file_variable;
  // Annotations of the sandbox (or single container).
  std::map<std::string, std::string> annotations;
  // Files tried in this order when nothing names one.
  std::vector<std::string> default_paths = default_config_paths();
  HostFacts host = host_facts();

  static std::vector<std::string> default_config_paths();
};

// Reads KATA_CONF_FILE of this process.
std::optional<std::string> conf_file_variable();

// Finds, reads and checks the configuration. Throws Error: kNotFound when there is no file, kInvalidArgument
// with every problem found, one a line, each naming file and line or annotation, the key and what is allowed.
Config load(const LoadRequest& request);

}  // namespace kata::config
