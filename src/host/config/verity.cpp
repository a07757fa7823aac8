#include "host/config/verity.h"

#include <algorithm>
#include <charconv>

namespace kata::config {

namespace {

bool parse_number(std::string_view text, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number > 0;
}

bool is_hex(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
}

// Empty = fine.
std::string assign(VerityParams& out, std::string_view name, std::string_view value) {
  const auto hash = [&](std::string& member) -> std::string {
    if (!is_hex(value)) return std::string(name) + " must be hexadecimal";
    member = value;
    return {};
  };
  const auto number = [&](uint64_t& member, uint64_t multiple) -> std::string {
    if (parse_number(value, member) && member % multiple == 0 && member <= INT64_MAX) return {};
    return std::string(name) + " must be a positive " + (multiple > 1 ? "multiple of 512" : "number");
  };
  if (name == "root_hash") return hash(out.root_hash);
  if (name == "salt") return hash(out.salt);
  if (name == "data_blocks") return number(out.data_blocks, 1);
  if (name == "data_block_size") return number(out.data_block_size, 512);
  if (name == "hash_block_size") return number(out.hash_block_size, 512);
  return "unknown name \"" + std::string(name) + "\"";
}

}  // namespace

std::expected<VerityParams, std::string> parse_verity(std::string_view text) {
  VerityParams out;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos)
      return std::unexpected("expected name=value, found \"" + std::string(item) + "\"");
    std::string problem = assign(out, item.substr(0, equals), item.substr(equals + 1));
    if (!problem.empty()) return std::unexpected(std::move(problem));
  }
  const bool complete = !out.root_hash.empty() && !out.salt.empty() && out.data_blocks > 0 &&
                        out.data_block_size > 0 && out.hash_block_size > 0;
  if (!complete) {
    return std::unexpected(
        "root_hash, salt, data_blocks, data_block_size and hash_block_size are all needed");
  }
  if (out.data_blocks > INT64_MAX / (out.data_block_size / 512))
    return std::unexpected("data_blocks is too large");
  return out;
}

}  // namespace kata::config
