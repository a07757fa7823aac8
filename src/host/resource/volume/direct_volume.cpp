#include "host/resource/volume/direct_volume.h"

#include <charconv>
#include <climits>
#include <filesystem>

#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "lib/fd/io.h"
#include "lib/text/base64url.h"

namespace kata::volume {
namespace {

namespace json = boost::json;

constexpr size_t kLimit = size_t{64} << 10;

std::unexpected<Error> invalid(std::string why) {
  return std::unexpected(Error(Code::kInvalidArgument, std::move(why)));
}

const json::string* text_member(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr ? value->if_string() : nullptr;
}

std::expected<uint32_t, Error> group_of(const json::object& object) {
  const json::value* metadata = object.if_contains("metadata");
  if (metadata == nullptr || metadata->is_null()) return 0;
  if (!metadata->is_object()) return invalid("metadata is no map");
  const json::string* group = text_member(metadata->as_object(), "fsGroup");
  if (group == nullptr) return 0;
  uint32_t number = 0;
  const auto [stop, error] = std::from_chars(group->data(), group->data() + group->size(), number);
  if (error != std::errc{} || stop != group->data() + group->size() || group->empty())
    return invalid("metadata.fsGroup is no group");
  return number;
}

// What the kinds other than a plain disk need is not there.
std::expected<void, Error> check_kind(std::string_view kind) {
  if (kind == "directvol" || kind == "blk") return {};
  if (kind == "vfiovol" || kind == "spdkvol" || kind == "spoolvol")
    return std::unexpected(
        Error(Code::kUnimplemented, "volume-type " + std::string(kind) + " is not supported: directvol is"));
  return invalid("volume-type \"" + std::string(kind.substr(0, 100)) + "\" is not known: directvol is");
}

}  // namespace

std::expected<DirectVolume, Error> parse_mount_info(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) return invalid("it is no JSON object");
  const json::object& object = value.as_object();
  for (const char* key : {"volume-type", "device", "fstype"}) {
    if (text_member(object, key) == nullptr) return invalid(std::string(key) + " is missing");
  }
  if (auto known = check_kind(*text_member(object, "volume-type")); !known)
    return std::unexpected(known.error());
  DirectVolume volume;
  volume.device = *text_member(object, "device");
  volume.fstype = *text_member(object, "fstype");
  if (volume.device.empty()) return invalid("device is empty");
  if (const json::value* options = object.if_contains("options"); options != nullptr && !options->is_null()) {
    if (!options->is_array()) return invalid("options is no list");
    for (const json::value& option : options->as_array()) {
      if (!option.is_string()) return invalid("options has something that is no text");
      volume.options.emplace_back(option.as_string());
    }
  }
  auto group = group_of(object);
  if (!group) return std::unexpected(group.error());
  volume.fs_group = *group;
  return volume;
}

std::optional<DirectVolume> find_direct_volume(const std::string& source, const std::string& root) {
  const std::string name = base64url(source);
  // No folder can have such a name.
  if (source.empty() || name.size() > NAME_MAX) return std::nullopt;
  const std::string folder = root + "/" + name;
  if (::access(folder.c_str(), F_OK) != 0) return std::nullopt;
  const std::string file = folder + "/mountInfo.json";
  return with_context("direct volume " + source + ", " + file, [&] {
    auto volume = parse_mount_info(read_file(file, kLimit));
    if (!volume) throw Error(volume.error());
    volume->folder = folder;
    return std::optional(std::move(*volume));
  });
}

std::string server_file(const DirectVolume& volume, const std::string& sandbox_id) {
  return volume.folder + "/" + sandbox_id;
}

void forget_server(const std::string& sandbox_id, const std::string& root) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root, error))
    ::unlink((entry.path() / sandbox_id).c_str());
}

}  // namespace kata::volume
