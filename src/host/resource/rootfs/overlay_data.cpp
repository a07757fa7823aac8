#include "host/resource/rootfs/overlay_data.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "lib/error/error.h"

namespace kata::rootfs {
namespace {

// mount(2) copies a page, the last byte of which ends the text.
constexpr size_t kRoom = 4095;
constexpr std::string_view kLower = "lowerdir=";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// The folder that all paths lie in, with its last slash; empty if there is none.
std::string_view common_folder(const std::vector<std::string_view>& paths) {
  std::string_view common = paths.front();
  for (const std::string_view path : paths) {
    const auto end = std::ranges::mismatch(common, path).in1;
    common = common.substr(0, static_cast<size_t>(end - common.begin()));
  }
  const size_t slash = common.rfind('/');
  return common.starts_with('/') ? common.substr(0, slash + 1) : std::string_view();
}

std::string relative(const std::vector<std::string_view>& paths, size_t prefix) {
  std::string list;
  for (const std::string_view path : paths) {
    if (!list.empty()) list += ':';
    list += path.substr(prefix);
  }
  return list;
}

}  // namespace

OverlayData fit_overlay_data(const std::string& data) {
  OverlayData result{.folder = {}, .data = data};
  if (data.size() <= kRoom) return result;
  // A backslash escapes separators: such paths are left alone.
  if (data.find('\\') == std::string::npos) {
    result.data.clear();
    for (const std::string_view option : split(data, ',')) {
      if (!result.data.empty()) result.data += ',';
      if (!option.starts_with(kLower)) {
        result.data += option;
        continue;
      }
      const auto paths = split(option.substr(kLower.size()), ':');
      const std::string_view folder = common_folder(paths);
      result.folder = folder;
      result.data += kLower;
      result.data += relative(paths, folder.size());
    }
  }
  if (result.data.size() > kRoom)
    throw Error(Code::kInvalidArgument, "the options of the overlay take " +
                                            std::to_string(result.data.size()) + " bytes, the kernel takes " +
                                            std::to_string(kRoom) + ": the image has too many layers");
  return result;
}

}  // namespace kata::rootfs
