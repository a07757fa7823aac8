// Direct volumes: a CSI driver, or the operator, has put a description beside the name of a volume, and the
// disk of it goes to the guest unmounted (facts: oci-and-cri-annotations, section 11).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error/error.h"

namespace kata::volume {

inline constexpr const char* kDirectVolumeRoot = "/run/kata-containers/shared/direct-volumes";

struct DirectVolume {
  // Block device or image file.
  std::string device;
  std::string fstype;
  std::vector<std::string> options;
  // Group that the volume's files get; 0 = none asked for.
  uint32_t fs_group = 0;
  // Where the description lies.
  std::string folder;
};

// The text of a mountInfo.json. kInvalidArgument says what is missing, kUnimplemented which kind of volume is
// not supported here.
std::expected<DirectVolume, Error> parse_mount_info(std::string_view text);

// The description for a mount's source; none if there is none. Errors name its file.
std::optional<DirectVolume> find_direct_volume(const std::string& source,
                                               const std::string& root = kDirectVolumeRoot);

// A file beside the description tells which sandbox serves the volume.
std::string server_file(const DirectVolume& volume, const std::string& sandbox_id);
// Removes that file from all volumes, for after a crash.
void forget_server(const std::string& sandbox_id, const std::string& root = kDirectVolumeRoot);

}  // namespace kata::volume
