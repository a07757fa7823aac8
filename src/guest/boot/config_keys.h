// The table of the agent's configuration keys, shared by the command line and the configuration file.
#pragma once

#include <expected>
#include <string_view>

#include "guest/boot/agent_config.h"

namespace kata::boot {

enum class ValueKind {
  kFlag,        // bare word, no value
  kFlagOrBool,  // bare word or a boolean
  kBool,        // true, false or an unsigned number; anything else is false
  kStrictBool,  // true or false
  kPort,        // a number; 0 and less are ignored
  kSeconds,     // unsigned; 0 is ignored
  kSize,        // bytes, >= 0
  kUnsigned8,   // 0..255
  kUnsigned64,
  kSigned64,
  kText,    // not empty
  kUrl,     // not empty, scheme://host
  kChoice,  // one of Key::choices
};

// A value that passed the check of its kind.
struct Value {
  std::string_view text;
  bool flag = false;
  int64_t number = 0;
};

struct Key {
  // Without "agent.".
  std::string_view name;
  // Its name in the configuration file where that differs.
  std::string_view file_name;
  ValueKind kind;
  // For kChoice: words separated by '|'.
  std::string_view choices;
  // Null: understood, without effect here.
  void (*apply)(AgentConfig& config, const Value& value);
};

// Null when no key has this name.
const Key* find_key(std::string_view name);
const Key* find_file_key(std::string_view name);

// Checks `text` against the key's kind. `name` is how the user wrote it.
std::expected<Value, Error> check_value(const Key& key, std::string_view name, std::string_view text);

// Applies a checked value, or records that it has no effect.
void apply_value(const Key& key, std::string_view name, const Value& value, AgentConfig& config);

}  // namespace kata::boot
