// A configuration file as a tree of values that know their line, and its drop-ins merged into it. Types of
// keys are not known here.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "host/config/config.h"
#include "lib/error/error.h"

namespace kata::config {

struct Value;
using Array = std::vector<Value>;
using Table = std::map<std::string, Value, std::less<>>;
// A TOML date or time: no key takes one.
struct DateOrTime {};

struct Value {
  std::variant<DateOrTime, bool, int64_t, double, std::string, Array, Table> data;
  // "<file>:<line>", for messages.
  std::string where;

  [[nodiscard]] const Table* table() const { return std::get_if<Table>(&data); }
  [[nodiscard]] const Array* array() const { return std::get_if<Array>(&data); }
  // "a string", "a table", ... for messages.
  [[nodiscard]] std::string_view kind() const;
};

// `name` is what positions begin with. The error names line and column and what is wrong. Input above 1 MiB
// is refused.
std::expected<Table, Error> parse_toml(std::string_view text, const std::string& name);

// A JSON array of objects as the same kind of tree (the shared_mounts annotation); `where` becomes every
// position.
std::expected<Value, Error> parse_json_value(std::string_view text, const std::string& where);

// Tables merge key by key at any depth; everything else replaces the old value, even with another type.
void merge(Table& base, Table&& over);

struct Document {
  Table root;
  // Real path of the main file.
  std::string path;
  std::vector<std::string> warnings;
};

// The file that this request means, as its real path. KATA_CONF_FILE wins, but may name one of the default
// files only: the environment of a shim is not the administrator's word. Then config_path, then the first
// default file that exists. Throws kNotFound when there is none, naming all places looked at.
std::string find_config(const LoadRequest& request);

// The configuration in the request's config_body; none if another place goes before it, or it has no table of
// ours. Throws kInvalidArgument for what is no TOML.
std::optional<Document> document_of_body(const LoadRequest& request);

// The main file with the files of config.d beside it merged in, in byte order of their names. Every entry
// counts, whatever its name; a symbolic link must lead to a file, a folder is an error. Throws
// kInvalidArgument for what is no TOML.
Document read_document(const std::string& path);

}  // namespace kata::config
