// Container Device Interface: what a vendor's file says a device needs in a container (the CDI specification,
// SPEC.md of version 0.8).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error/error.h"

namespace kata::oci {

struct CdiNode {
  std::string path;
  // The node outside of the container; empty = the same path.
  std::string host_path;
  // "c", "b", ...; type and numbers that are absent are those of the node outside.
  std::string type;
  std::optional<int64_t> major, minor;
  std::optional<uint32_t> file_mode, uid, gid;
  // For the device rules; empty = rwm.
  std::string permissions;
};

struct CdiMount {
  std::string host_path, container_path, type;
  std::vector<std::string> options;
};

struct CdiHook {
  // prestart, createRuntime, ...
  std::string hook_name, path;
  std::vector<std::string> args, env;
  int64_t timeout = 0;
};

struct CdiEdits {
  std::vector<std::string> env;
  std::vector<CdiNode> device_nodes;
  std::vector<CdiMount> mounts;
  std::vector<CdiHook> hooks;
  std::vector<uint32_t> additional_gids;
};

struct CdiDevice {
  std::string name;
  CdiEdits edits;
};

struct CdiSpec {
  std::string version;
  // "vendor.com/class"
  std::string kind;
  std::vector<CdiDevice> devices;
  // For every container that gets one of the devices.
  CdiEdits edits;
};

// kInvalidArgument names the member that is wrong. Unknown members are passed over.
std::expected<CdiSpec, Error> parse_cdi_spec(std::string_view json);

}  // namespace kata::oci
