#include "lib/linux/bpf.h"

#include <cerrno>
#include <cstdint>
#include <sys/syscall.h>

#include <unistd.h>

#include "lib/error/error.h"

namespace kata::kernel {
namespace {

UniqueFd call(bpf_cmd command, bpf_attr& attributes) {
  return UniqueFd(static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes)));
}

}  // namespace

UniqueFd bpf_call(bpf_cmd command, bpf_attr& attributes, const char* tried) {
  UniqueFd fd = call(command, attributes);
  if (!fd) throw_errno(tried);
  return fd;
}

UniqueFd load_bpf_program(bpf_attr& attributes, const char* tried) {
  static constexpr char kLicense[] = "Apache-2.0";
  attributes.license = reinterpret_cast<uint64_t>(kLicense);
  constexpr int kAttempts = 100;
  for (int attempt = 1;; ++attempt) {
    UniqueFd program = call(BPF_PROG_LOAD, attributes);
    if (program) return program;
    if (errno != EAGAIN || attempt == kAttempts) throw_errno(tried);
  }
}

}  // namespace kata::kernel
