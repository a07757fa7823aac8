// What a layer's dm-verity description means to the guest.
#pragma once

#include <string>
#include <vector>

namespace kata::rootfs {

// The storage options for the layer open as `layer`, by its description: a JSON file of at most 64 KiB with
// `roothash`, `hashoffset` and perhaps `salt`. Whether a super block lies before the hashes is looked up in
// the layer, and so is a salt that the description does not give. kInvalidArgument names what is wrong.
std::vector<std::string> verity_options(const std::string& description_path, int layer);

}  // namespace kata::rootfs
