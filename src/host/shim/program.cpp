#include "host/shim/program.h"

#include <cstdio>
#include <exception>
#include <string_view>
#include <vector>

#include <unistd.h>

#include "host/shim/flags.h"
#include "host/shim/info.h"
#include "host/shim/serve.h"
#include "host/shim/start.h"
#include "lib/fd/io.h"

namespace kata::shim {
namespace {

int run(const Flags& flags, const Backend& backend) {
  if (flags.help) {
    write_all(STDERR_FILENO, usage(), "the usage");
    return 0;
  }
  if (flags.version) {
    write_all(STDOUT_FILENO, "containerd-shim-kata-v2 version " KATA_VERSION "\n", "the version");
    return 0;
  }
  if (flags.info) {
    write_all(STDOUT_FILENO, runtime_info(), "the runtime's description");
    return 0;
  }
  switch (flags.action) {
    case Flags::Action::kStart:
      start(flags, STDIN_FILENO, STDOUT_FILENO);
      return 0;
    case Flags::Action::kDelete:
      remove(flags, backend.clean_up, STDOUT_FILENO);
      return 0;
    case Flags::Action::kServe:
      return serve(flags, backend);
  }
  return 1;
}

}  // namespace

int run_program(int argc, char** argv, const Backend& backend) {
  try {
    const std::vector<std::string_view> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    const auto flags = parse_flags(arguments);
    if (!flags) throw flags.error();
    return run(*flags, backend);
  } catch (const std::exception& error) {
    // containerd shows this text as the reason of the failed start.
    std::fprintf(stderr, "containerd-shim-kata-v2: %s\n", error.what());
    return 1;
  }
}

}  // namespace kata::shim
