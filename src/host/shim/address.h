// Where a shim listens (facts: containerd-shim-api, section 5).
#pragma once

#include <string>
#include <string_view>

#include "lib/fd/unique_fd.h"

namespace kata::shim {

inline constexpr std::string_view kDefaultSocketDir = "/run/containerd/s";

// Elements joined by '/' and cleaned as Go's path.Join does it: empty ones are left out, "." and ".." are
// resolved in the text alone.
std::string join_path(std::initializer_list<std::string_view> elements);

// <socket_dir>/<sha256 of the joined gRPC address, namespace and group id>: containerd's convention.
std::string socket_path(std::string_view socket_dir, std::string_view grpc_address,
                        std::string_view containerd_namespace, std::string_view group_id);

// The path of "unix:///x" or of a bare absolute path; empty for any other kind of address.
std::string path_of_address(std::string_view address);

// A listening socket, or the knowledge that a living shim has that address already.
struct Listening {
  UniqueFd socket;
  bool already_served = false;
};

// Creates the directory (0700) and a listening Unix socket (0600) at `path`. A stale file without a listener
// is replaced. Throws Error: kInvalidArgument when the path exceeds what a socket address can hold.
Listening listen_at(const std::string& path);

// Whether somebody accepts connections at `path`.
bool is_served(const std::string& path);

}  // namespace kata::shim
