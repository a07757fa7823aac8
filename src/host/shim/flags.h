// The shim's command line, in the syntax of Go's flag package, because containerd and CRI-O call it so
// (facts: containerd-shim-api, section 2).
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "lib/error/error.h"

namespace kata::shim {

struct Flags {
  std::string containerd_namespace;
  // containerd's gRPC socket; empty when CRI-O calls.
  std::string address;
  std::string publish_binary;
  std::string id;
  std::string bundle;
  std::string socket;
  std::string debug_socket;
  bool debug = false;
  bool version = false;
  bool info = false;
  bool help = false;
  enum class Action { kServe, kStart, kDelete };
  Action action = Action::kServe;
};

// `arguments` without the program's name. `-x v`, `-x=v`, `--x v` and `--x=v` are the same; a boolean takes a
// value only after '='; the first argument that is no flag is the action. kInvalidArgument names the flag.
std::expected<Flags, Error> parse_flags(std::span<const std::string_view> arguments);

// One line per flag.
std::string_view usage();

// Whether containerd would accept `id` as an identifier: letters and digits in parts joined by one of
// ".", "_", "-"; at most 76 bytes. Such an id is safe as a file name.
bool valid_id(std::string_view id);

}  // namespace kata::shim
