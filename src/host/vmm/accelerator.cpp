#include "host/vmm/accelerator.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::vmm {
namespace {

// Whether the first "flags" line of /proc/cpuinfo names one of the two extensions as a whole word.
bool has_virtualisation_flag(std::string_view cpuinfo) {
  size_t line = cpuinfo.starts_with("flags") ? 0 : cpuinfo.find("\nflags");
  if (line == std::string_view::npos) return false;
  if (line != 0) ++line;
  const std::string words = std::string(cpuinfo.substr(line, cpuinfo.find('\n', line) - line)) + " ";
  return words.find(" vmx ") != std::string::npos || words.find(" svm ") != std::string::npos;
}

}  // namespace

AcceleratorProbe probe_accelerator(const std::string& kvm_device, const std::string& cpuinfo) {
  AcceleratorProbe probe;
  const UniqueFd device(::open(kvm_device.c_str(), O_RDWR | O_CLOEXEC));
  if (!device) probe.kvm_problem = kvm_device + ": " + std::strerror(errno);
#if defined(__x86_64__)
  try {
    probe.cpu_virtualisation = has_virtualisation_flag(read_file(cpuinfo));
  } catch (const Error&) {
    probe.cpu_virtualisation = false;
  }
#else
  probe.cpu_virtualisation = true;
#endif
  return probe;
}

AcceleratorChoice choose_accelerator(Accelerator wanted, const AcceleratorProbe& probe) {
  switch (wanted) {
    case Accelerator::kTcg:
      return {.accelerator = Accelerator::kTcg, .warning = {}};
    case Accelerator::kKvm:
      if (!probe.kvm_problem.empty())
        throw Error(Code::kFailedPrecondition,
                    "accelerator kvm is configured but cannot be used: " + probe.kvm_problem);
      return {.accelerator = Accelerator::kKvm, .warning = {}};
    case Accelerator::kAuto:
      break;
  }
  constexpr std::string_view consequence = "; the VM is emulated (TCG), which is many times slower";
  if (!probe.kvm_problem.empty())
    return {.accelerator = Accelerator::kTcg,
            .warning = "no hardware virtualisation: " + probe.kvm_problem + std::string(consequence)};
  if (!probe.cpu_virtualisation)
    return {.accelerator = Accelerator::kTcg,
            .warning =
                "no hardware virtualisation: the CPU shows neither vmx nor svm" + std::string(consequence)};
  return {.accelerator = Accelerator::kKvm, .warning = {}};
}

}  // namespace kata::vmm
