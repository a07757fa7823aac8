// dm-verity data of a guest image, as kernel_verity_params and verity_params of an extension image give it:
// root_hash=...,salt=...,data_blocks=...,data_block_size=...,hash_block_size=...
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace kata::config {

struct VerityParams {
  std::string root_hash, salt;
  uint64_t data_blocks = 0, data_block_size = 0, hash_block_size = 0;
};

// All five are required, block sizes are multiples of 512, hashes are hexadecimal. The error says what is
// wrong.
std::expected<VerityParams, std::string> parse_verity(std::string_view text);

}  // namespace kata::config
