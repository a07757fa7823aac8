// Any annotations (lines of name=value, NUL separates them) on a fixed configuration: a Config or an Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "host/config/cri_annotations.h"
#include "host/config/guest_command_line.h"
#include "host/config/load.h"
#include "host/config/sizing.h"
#include "lib/error/error.h"

namespace {

using namespace kata::config;

constexpr std::string_view kFile =
    "[hypervisor.qemu]\npath = \"/bin/sh\"\nkernel = \"/bin/sh\"\ninitrd = \"/bin/sh\"\nenable_annotations = "
    "[\".*\"]\n"
    "valid_hypervisor_paths = [\"/bin/*\"]\nkernel_params = \"a=1 b\"\n[agent.kata]\n[runtime]\nname = "
    "\"virt_container\"\n"
    "hypervisor_name = \"qemu\"\nagent_name = \"kata\"\n";

Annotations parse(std::string_view text) {
  Annotations annotations;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\0'));
    text.remove_prefix(line.size() < text.size() ? line.size() + 1 : text.size());
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    // Most names of interest share the prefix.
    const std::string name(line.substr(0, equals));
    const bool whole = name.starts_with("io.");
    annotations.insert_or_assign(whole ? name : "io.katacontainers.config." + name,
                                 std::string(line.substr(equals + 1)));
  }
  return annotations;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  LoadRequest request;
  request.host = {.cpus = 4, .memory_mib = 4096};
  request.annotations = parse({reinterpret_cast<const char*>(data), size});
  try {
    (void)read_cri_annotations(request.annotations, "c1");
  } catch (const kata::Error&) {
  }
  try {
    const Config config = resolve(
        {.root = parse_toml(kFile, "fuzz.toml").value(), .path = "fuzz.toml", .warnings = {}}, request);
    (void)size_vm(config, limits_from_annotations(request.annotations), request.host);
    (void)guest_command_line(config);
  } catch (const kata::Error&) {
  }
  return 0;
}
