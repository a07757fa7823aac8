// The options of an overlay mount have to fit in one page, or the kernel cuts them off without a word: with
// containerd's long snapshot paths that is the case from some forty layers on.
#pragma once

#include <string>

namespace kata::rootfs {

struct OverlayData {
  // To be the working folder of who mounts; empty: any.
  std::string folder;
  std::string data;
};

// Options that fit stay as they are. In longer ones the lower folders become relative to the folder that they
// have in common. Throws kInvalidArgument if that does not help.
OverlayData fit_overlay_data(const std::string& data);

}  // namespace kata::rootfs
