// What passes through stdin and stdout of `start` (facts: containerd-shim-api, section 3).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "host/shim/flags.h"

#include "containerd/bootstrap.pb.h"

namespace kata::shim {

// containerd sends at most this.
inline constexpr size_t kMaxBootstrapBytes = size_t{10} << 20;

// What containerd said on stdin, in either of its two languages.
struct Bootstrap {
  // Runtime options as a serialised google.protobuf.Any; empty = none.
  std::string options;
  std::string socket_dir;
  bool debug = false;
  // containerd 2.3 and later: task API version 3 is understood, the answer is a protobuf.
  bool params_received = false;
};

// Bytes from 1.6-2.2 are the options themselves, from 2.3 on BootstrapParams around them. An Any also parses
// as BootstrapParams, so those count only when instance and namespace are the flags' own. Bytes that parse as
// neither are ignored: options also come with the create request.
Bootstrap parse_bootstrap(std::string_view bytes, const Flags& flags);

// What `start` prints: the plain address, or BootstrapResult to who sent BootstrapParams.
std::string format_answer(const Bootstrap& bootstrap, const std::string& address);

}  // namespace kata::shim
