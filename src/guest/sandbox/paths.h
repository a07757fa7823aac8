// Where things lie in the guest (agent-api, section 7).
//
//   /run/kata-containers/                       wiped by CreateSandbox
//     <container id>/                           bundle: config.json, what overlays need
//     shared/containers/                        the host's share
//     sandbox/resolv.conf, sandbox/shm, ...     of the whole sandbox
//   /var/run/sandbox-ns/{uts,ipc}               namespaces that all containers share
#pragma once

#include <string>

namespace kata::sandbox {

inline constexpr const char* kRunRoot = "/run/kata-containers";
inline constexpr const char* kShareRoot = "/run/kata-containers/shared/containers";
inline constexpr const char* kSandboxFolder = "/run/kata-containers/sandbox";
inline constexpr const char* kResolvConf = "/run/kata-containers/sandbox/resolv.conf";
inline constexpr const char* kNamespaceFolder = "/var/run/sandbox-ns";

inline std::string bundle_of(const std::string& container_id) {
  return std::string(kRunRoot) + "/" + container_id;
}

}  // namespace kata::sandbox
