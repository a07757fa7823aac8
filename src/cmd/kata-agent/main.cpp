// The guest's agent: see guest/rpc/agent.h. As pid 1 it is the guest's init.
#include <cstdio>
#include <cstring>

#include <malloc.h>
#include <unistd.h>

#include "guest/boot/modprobe.h"
#include "guest/container/launcher.h"
#include "guest/container/pid_holder.h"
#include "guest/rpc/agent.h"

namespace {

int usage(std::FILE* out) {
  std::fputs(
      "usage: kata-agent [-c|--config FILE] [-v|--version] [-h|--help]\n"
      "  -c FILE   read the configuration from FILE instead of the kernel command line\n"
      "  -v        print the version\n",
      out);
  return out == stdout ? 0 : 2;
}

bool is(const char* argument, const char* name, const char* long_name) {
  return std::strcmp(argument, name) == 0 || std::strcmp(argument, long_name) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (kata::boot::is_modprobe(argc, argv)) return kata::boot::run_modprobe(argc, argv);
  // Containers begin as this program, started by itself.
  if (kata::container::is_init_stage(argc, argv)) return kata::container::run_init_stage();
  if (kata::container::is_pid_holder(argc, argv)) return kata::container::run_pid_holder();
  // Chunks of output come and go: giving the memory back and fetching it again for each costs more than all
  // the rest of the agent's part.
  ::mallopt(M_MMAP_THRESHOLD, 2 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 512 << 10);
  kata::rpc::AgentOptions options;
  options.role = ::getpid() == 1 ? kata::boot::Role::kInit : kata::boot::Role::kService;
  // The kernel hands what it does not know on its command line to init: not for us.
  for (int i = 1; i < argc && options.role == kata::boot::Role::kService; ++i) {
    if (is(argv[i], "-v", "--version")) {
      std::puts("kata-agent " KATA_VERSION);
      return 0;
    }
    if (is(argv[i], "-h", "--help")) return usage(stdout);
    if (!is(argv[i], "-c", "--config") || i + 1 == argc) return usage(stderr);
    options.config_path = argv[++i];
  }
  return kata::rpc::run_agent(options);
}
