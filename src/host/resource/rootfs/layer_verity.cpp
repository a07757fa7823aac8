#include "host/resource/rootfs/layer_verity.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <sys/stat.h>

#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::rootfs {
namespace {

namespace json = boost::json;

constexpr size_t kLimit = size_t{64} << 10;
constexpr uint64_t kBlock = 4096;
constexpr size_t kHashDigits = 64;

bool is_hex(std::string_view text) {
  return text.size() % 2 == 0 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

struct Description {
  std::string root_hash;
  uint64_t hash_offset = 0;
  std::optional<std::string> salt;
};

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string())
    throw Error(Code::kInvalidArgument, std::string(key) + " is missing");
  return std::string(value->as_string());
}

Description parse(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) throw Error(Code::kInvalidArgument, "it is no JSON object");
  const json::object& object = value.as_object();
  Description description;
  description.root_hash = text_of(object, "roothash");
  if (description.root_hash.size() != kHashDigits || !is_hex(description.root_hash))
    throw Error(Code::kInvalidArgument, "roothash must be " + std::to_string(kHashDigits) + " hex digits");
  const json::value* offset = object.if_contains("hashoffset");
  if (offset == nullptr || !offset->is_number()) throw Error(Code::kInvalidArgument, "hashoffset is missing");
  boost::system::error_code number;
  description.hash_offset = offset->to_number<uint64_t>(number);
  if (number || description.hash_offset == 0 || description.hash_offset % kBlock != 0)
    throw Error(Code::kInvalidArgument, "hashoffset must be a multiple of " + std::to_string(kBlock));
  if (object.contains("salt")) description.salt = text_of(object, "salt");
  if (description.salt && (!is_hex(*description.salt) || description.salt->size() > 512))
    throw Error(Code::kInvalidArgument, "salt must be hex digits");
  return description;
}

// verity_sb of cryptsetup: signature at 0, version at 8, salt size at 80, salt at 88.
struct SuperBlock {
  bool present = false;
  std::string salt;
};
SuperBlock read_super_block(int layer, uint64_t offset) {
  std::array<char, 512> bytes{};
  const ssize_t n = ::pread(layer, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (n < 0) throw_errno("reading the hashes of a layer");
  if (n == 0) throw Error(Code::kInvalidArgument, "hashoffset is beyond the layer's end");
  SuperBlock block;
  const std::string_view head(bytes.data(), static_cast<size_t>(n));
  block.present = head.starts_with(std::string_view("verity\0\0", 8));
  if (!block.present || head.size() < bytes.size() || head[8] != 1) return block;
  const size_t size = static_cast<uint8_t>(head[80]) | static_cast<size_t>(static_cast<uint8_t>(head[81]))
                                                           << 8;
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (size_t i = 0; i < std::min<size_t>(size, 256); ++i) {
    const auto byte = static_cast<uint8_t>(head[88 + i]);
    block.salt += kDigits[byte >> 4];
    block.salt += kDigits[byte & 0xF];
  }
  return block;
}

}  // namespace

std::vector<std::string> verity_options(const std::string& description_path, int layer) {
  return with_context("dm-verity description " + description_path, [&] {
    const Description description = parse(read_file(description_path, kLimit));
    const SuperBlock block = read_super_block(layer, description.hash_offset);
    std::string salt = description.salt.value_or(block.salt);
    if (salt.empty()) salt.assign(kHashDigits, '0');
    return std::vector<std::string>{
        "X-kata.dmverity-enabled=true",
        "X-kata.dmverity.roothash=" + description.root_hash,
        "X-kata.dmverity.hashoffset=" + std::to_string(description.hash_offset),
        std::string("X-kata.dmverity.no-superblock=") + (block.present ? "false" : "true"),
        "X-kata.dmverity.salt=" + salt,
    };
  });
}

}  // namespace kata::rootfs
