// The first stage of a guest whose root file system is an image and whose kernel has as modules what it takes
// to mount it: the agent, as /init of an initrd of its own, does what a kernel with these parts built in does
// by itself, by the same words of the kernel's command line (root=, rootflags=, rootfstype=, dm-mod.create=,
// init=; Documentation/admin-guide/kernel-parameters.txt and device-mapper/dm-init.rst).
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error/error.h"
#include "lib/linux/device_mapper.h"

namespace kata::boot {

// Modules by word ("root:virtio-blk /lib/..."), in the order of loading. Its presence makes an initrd a first
// stage.
inline constexpr const char* kFirstStageList = "/lib/modules/kata-first-stage";

struct RootPlan {
  // "/dev/vda1"
  std::string device;
  std::string fstype;
  // Data of mount(2).
  std::string options;
  bool readonly = true;
  std::string init = "/sbin/init";
  // A device that checks the root: `device` is it, and it lies on `parts`.
  struct Verity {
    std::string name;
    kernel::DmTarget target;
    std::vector<std::string> parts;
  };
  std::optional<Verity> verity;

  // The words of the module list that it takes.
  [[nodiscard]] std::vector<std::string> needs() const;
};

// kInvalidArgument names the word that is missing or makes no sense.
std::expected<RootPlan, Error> parse_root(std::string_view command_line);

bool is_first_stage();

// Mounts the root file system, makes it the root and becomes its init; gives the memory of the initrd back.
// /proc, /sys and /dev are mounted and move along. Throws Error, also when the root device does not appear.
[[noreturn]] void enter_root_image();

}  // namespace kata::boot
