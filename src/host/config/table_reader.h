// Reads a document's tables into the typed structures, and collects everything that is wrong on the way.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "host/config/document.h"
#include "host/config/key_table.h"

namespace kata::config {

using Origins = std::map<std::string, std::string, std::less<>>;

struct Problems {
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
};

// All tables of the file, typed, before annotations and fix-ups.
struct Tables {
  std::map<std::string, HypervisorConfig, std::less<>> hypervisors;
  std::map<std::string, AgentConfig, std::less<>> agents;
  RuntimeConfig runtime;
  // "in <file>:<line>" by full key ("hypervisor.qemu.kernel").
  Origins origins;
};

Tables read_tables(const Table& root, Problems& problems);

// Reads `table` into `object`, which the rows of `info` describe. `name` is the table's full name.
void read_table(const Table& table, const TableInfo& info, void* object, const std::string& name,
                Origins& origins, Problems& problems);

// An array of tables into the vector that `key` describes. False (and an error) when it is none.
bool read_table_array(const Value& value, const KeyInfo& key, void* object, const std::string& name,
                      Origins& origins, Problems& problems);

}  // namespace kata::config
