#include "guest/storage/layer_group.h"

#include <algorithm>
#include <string_view>

#include "guest/storage/mount_step.h"
#include "lib/error/error.h"

namespace kata::storage {
namespace {

constexpr std::string_view kMember = "X-kata.multi-layer=true";
constexpr std::string_view kUpper = "X-kata.overlay-upper";
constexpr std::string_view kLower = "X-kata.overlay-lower";
constexpr size_t kMaxLayers = 256;

bool has_option(const Storage& storage, std::string_view option) {
  return std::ranges::find(storage.options, option) != storage.options.end();
}

bool is_member(const Storage& storage) {
  return storage.driver == kLayersDriver || has_option(storage, kMember);
}

[[noreturn]] void refuse(const std::string& why) {
  throw Error(Code::kInvalidArgument, "layers of a root file system: " + why);
}

std::string trim(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return std::string(text);
}

// "{{ mount 0 }}/upper:0755": the text before the colon, without "..".
LayerGroup::Folder parse_folder(std::string_view spec) {
  LayerGroup::Folder folder;
  std::string_view path = spec.substr(0, spec.find(':'));
  if (path.starts_with("{{")) {
    const size_t end = path.find("}}");
    if (end == std::string_view::npos) refuse("folder " + std::string(spec.substr(0, 200)) + ": no }}");
    const std::string word = trim(path.substr(2, end - 2));
    if (word != "mount 0" && word != "mount 1")
      refuse("folder in " + word.substr(0, 100) + ": only mount 0 and mount 1 are known");
    if (word == "mount 1") folder.root = LayerGroup::Folder::Root::kLower;
    path.remove_prefix(end + 2);
  }
  while (path.starts_with('/')) path.remove_prefix(1);
  const std::string bounded = "/" + std::string(path) + "/";
  if (path.empty() || bounded.find("/../") != std::string::npos || path.find('\0') != std::string_view::npos)
    refuse("folder " + std::string(spec.substr(0, 200)) + " leads elsewhere");
  folder.path = path;
  return folder;
}

std::string hex_option(const Storage& storage, const std::string& name, size_t digits) {
  const std::string value = option_value(storage.options, name).value_or("");
  if (value.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos || value.size() % 2 != 0 ||
      value.size() > 512 || (digits != 0 && value.size() != digits))
    refuse(name + " must be " + (digits != 0 ? std::to_string(digits) + " " : "") + "hex digits");
  return value;
}

uint64_t number_option(const Storage& storage, const std::string& name, uint64_t initial) {
  const auto value = option_value(storage.options, name);
  return value ? parse_number(*value, 10, name) : initial;
}

uint32_t block_option(const Storage& storage, const std::string& name) {
  const uint64_t size = number_option(storage, name, 4096);
  if (size < 512 || size > 65536 || (size & (size - 1)) != 0)
    refuse(name + " must be a power of two from 512 to 65536");
  return static_cast<uint32_t>(size);
}

std::optional<Verity> parse_verity(const Storage& storage) {
  if (!has_option(storage, "X-kata.dmverity-enabled=true")) return std::nullopt;
  constexpr size_t kSha256Digits = 64;
  Verity verity;
  verity.root_hash = hex_option(storage, "X-kata.dmverity.roothash", kSha256Digits);
  verity.salt = hex_option(storage, "X-kata.dmverity.salt", 0);
  verity.hash_offset = number_option(storage, "X-kata.dmverity.hashoffset", 0);
  verity.block_size = block_option(storage, "X-kata.dmverity.blocksize");
  verity.hash_size = block_option(storage, "X-kata.dmverity.hashsize");
  verity.has_super_block = !has_option(storage, "X-kata.dmverity.no-superblock=true");
  if (verity.hash_offset == 0 || verity.hash_offset % verity.block_size != 0 ||
      verity.hash_offset % verity.hash_size != 0)
    refuse("X-kata.dmverity.hashoffset must be a multiple of the block sizes");
  return verity;
}

Layer parse_layer(const Storage& storage) {
  Layer layer{
      .driver = storage.driver, .source = storage.source, .partition = 0, .verity = parse_verity(storage)};
  if (has_option(storage, "X-kata.gpt-partitioned=true")) {
    const uint64_t number = number_option(storage, "X-kata.partition-number", 0);
    if (number == 0 || number > kMaxLayers)
      refuse("X-kata.partition-number must be 1 to " + std::to_string(kMaxLayers));
    layer.partition = static_cast<uint32_t>(number);
  }
  if (layer.verity && layer.partition == 0) refuse("dm-verity needs layers in partitions");
  return layer;
}

}  // namespace

std::vector<Storage> group_layers(std::vector<Storage> storages) {
  std::vector<Storage> result;
  size_t group = 0;
  bool found = false;
  for (Storage& storage : storages) {
    if (!is_member(storage)) {
      result.push_back(std::move(storage));
      continue;
    }
    if (!found) {
      group = result.size();
      found = true;
      result.emplace_back();
      result[group].driver = kLayersDriver;
    }
    Storage& whole = result[group];
    if (whole.mount_point.empty() || has_option(storage, kUpper)) whole.mount_point = storage.mount_point;
    whole.shared = whole.shared || storage.shared;
    whole.members.push_back(std::move(storage));
  }
  return result;
}

LayerGroup parse_layers(const std::vector<Storage>& members) {
  LayerGroup group;
  for (const Storage& member : members) {
    if (member.driver != "blk" && member.driver != "scsi")
      refuse("driver " + member.driver.substr(0, 100) + ": only blk and scsi can carry them");
    for (const std::string& option : member.options) {
      constexpr std::string_view kFolder = "X-kata.mkdir.path=";
      if (option.starts_with(kFolder))
        group.folders.push_back(parse_folder(std::string_view(option).substr(kFolder.size())));
    }
    if (has_option(member, kUpper)) {
      if (group.upper) refuse("more than one is writable");
      if (member.fstype != "ext4")
        refuse("the writable one must be ext4, not " + member.fstype.substr(0, 100));
      group.upper = member;
    } else if (has_option(member, kLower)) {
      Layer layer = parse_layer(member);
      const auto place = std::ranges::upper_bound(group.lowers, layer.partition, {}, &Layer::partition);
      group.lowers.insert(place, std::move(layer));
    }
  }
  if (group.lowers.empty()) refuse("none is " + std::string(kLower));
  if (group.lowers.size() > kMaxLayers) refuse("there are " + std::to_string(group.lowers.size()));
  return group;
}

}  // namespace kata::storage
