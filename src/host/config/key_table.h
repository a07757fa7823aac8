// The tables of known keys, made from keys/*.def: what a key is called, what it may hold, which annotation
// may change it and who uses it. Everything that handles keys by name goes through these rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "host/config/config.h"

namespace kata::config {

enum class Type : uint8_t {
  kBool,
  kU32,
  kI32,
  kU64,
  kDouble,
  kString,
  kStringList,
  kU32List,
  kOptionalBool,
  kOptionalU8,
  kOptionalU64,
  kOptionalI64,
  kOptionalString,
  kTable,
  kTableArray,
};

// Where a key has its effect, and so whose tests must hold a row that changes it (key_rows.h).
enum class Use : uint8_t {
  kKept,     // parsed, checked and kept; nothing acts on it yet
  kConfig,   // this folder: guest command line, sizing, levels, fix-ups
  kVm,       // the VmSpec and the VMM's arguments
  kShare,    // the shared directory's daemon
  kAgent,    // a message to the agent
  kSandbox,  // how the sandbox reaches and watches the agent
};

// What a value must satisfy, whether it comes from a file or an annotation.
struct Check {
  enum class Kind : uint8_t {
    kAny,
    kOneOf,
    kUpTo,
    kNotZero,
    kNotNegative,
    kSectorSize,
    kVerity,
    kLogLevel,
    kExtensionName,
    kNotEmpty,
    kSharedPath,
  };
  Kind kind = Kind::kAny;
  // kOneOf: "a|b|c"; an empty word allows the empty text.
  std::string_view words = {};
  uint64_t limit = 0;
};

// How an annotation changes the key. `name` follows "io.katacontainers.config.".
struct Annotation {
  enum class Kind : uint8_t {
    kNone,
    kPlain,
    kAppended,     // split at `separator`, added to the list
    kExisting,     // a path that must exist
    kAllowedBy,    // a value that `allowed` must list (globs)
    kMerged,       // kernel parameters: replaces those of the same name
    kMemorySize,   // MiB, or a number with a unit
    kVcpus,        // not above what the VMM can have
    kAtMost,       // not above `limit`
    kInitdata,     // recognised, not supported
    kRuntimeName,  // the handler's name
    kTableName,    // selects a table; applied before all others
    kJson,         // an array of tables
    kRefused,      // recognised, never honoured
  };
  Kind kind = Kind::kNone;
  char separator = 0;
  uint32_t limit = 0;
  std::string_view name = {};
  StringList HypervisorConfig::* allowed = nullptr;
};

struct TableInfo;

struct KeyInfo {
  std::string_view name;
  Type type;
  Use use;
  uint32_t offset;
  Check check;
  Annotation annotation;
  // kTable, kTableArray: the rows of the inner table.
  const TableInfo* table = nullptr;
  // kTableArray: appends an element to the vector at `vector` and returns its address; removes all for null.
  void* (*grow)(void* vector) = nullptr;
  void (*clear)(void* vector) = nullptr;
};

struct TableInfo {
  std::span<const KeyInfo> keys;
  // Whether an unknown key is an error (as it is in the original) or a warning.
  bool strict;

  [[nodiscard]] const KeyInfo* find(std::string_view name) const;
};

extern const TableInfo kHypervisorTable, kAgentTable, kRuntimeTable;

// The key that the annotation of this name (after the prefix) changes, and the table it is in.
struct AnnotationTarget {
  const TableInfo* table = nullptr;
  const KeyInfo* key = nullptr;
};
AnnotationTarget find_annotation(std::string_view name);

// Full names ("hypervisor.default_vcpus", "agent.mem_agent.enable") of the keys with that use.
std::vector<std::string> keys_with(Use use);

}  // namespace kata::config
