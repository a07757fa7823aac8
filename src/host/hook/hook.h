// Hooks of the OCI runtime spec (config.md, "POSIX-platform Hooks") as programs of the node.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "lib/async/awaitable.h"
#include "lib/oci/spec.h"

namespace kata::hook {

enum class Kind { kPrestart, kCreateRuntime, kPoststart, kPoststop };
// As the spec writes it: "createRuntime".
std::string_view kind_name(Kind kind);

// What a hook reads on its standard input (runtime.md, "State").
struct State {
  std::string id;
  // Whose /proc/<pid>/ns/net is the pod's network; 0 = there is none (any more) and none is told.
  pid_t pid = 0;
  std::string bundle;
  std::map<std::string, std::string> annotations;
};
// The status follows from the kind.
std::string state_json(Kind kind, const State& state);

// For hooks that name no limit of their own.
constexpr Duration kLimit = std::chrono::minutes(2);

struct Rules {
  // No hook may take longer, whatever it says itself.
  Duration limit = kLimit;
  // Of a hook that takes too long: whether it is killed with all that it started, or goes on alone.
  enum class Late { kKilled, kLeft };
  Late late = Late::kKilled;
};

// Runs them one after the other, in the bundle as working directory, with exactly the environment that they
// name. The first that fails ends it; the error names the hook, how it ended and the last line that it wrote
// to its standard error.
Awaitable<> run(Kind kind, std::vector<oci::Hook> hooks, State state, Rules rules = {});
// The same for hooks whose failure changes nothing any more: each is run, what fails is a warning in the log.
Awaitable<> run_all(Kind kind, std::vector<oci::Hook> hooks, State state, Rules rules = {});

}  // namespace kata::hook
