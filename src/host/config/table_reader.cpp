#include "host/config/table_reader.h"

#include <algorithm>
#include <span>

#include "host/config/assign.h"
#include "host/config/nearest.h"
#include "host/config/vmm_traits.h"

namespace kata::config {

namespace {

void error(Problems& problems, const std::string& where, const std::string& name,
           const std::string& problem) {
  problems.errors.push_back(where + ": " + name + ": " + problem);
}

std::string suggestion(std::string_view unknown, const TableInfo& info) {
  std::vector<std::string_view> names;
  for (const KeyInfo& key : info.keys) names.push_back(key.name);
  const std::string_view near = nearest(unknown, names);
  return near.empty() ? "" : "; did you mean " + std::string(near) + "?";
}

void unknown_key(const std::string& key, const Value& value, const TableInfo& info, const std::string& name,
                 Problems& problems) {
  const std::string text = value.where + ": " + name + "." + key + ": unknown key";
  if (info.strict) {
    problems.errors.push_back(text + suggestion(key, info));
  } else {
    problems.warnings.push_back(text + ", ignored" + suggestion(key, info));
  }
}

// Unknown words mean "info", as in the original; say so.
void check_log_level(const KeyInfo& key, void* object, const Value& value, const std::string& name,
                     Problems& problems) {
  if (key.check.kind != Check::Kind::kLogLevel) return;
  constexpr std::string_view kLevels[] = {"trace", "debug", "info", "warn", "error", "critical"};
  const std::string& level = member<std::string>(key, object);
  if (std::ranges::find(kLevels, level) != std::end(kLevels)) return;
  problems.warnings.push_back(value.where + ": " + name + ": \"" + level +
                              "\" counts as info; expected trace, debug, info, warn, error or critical");
}

void read_key(const KeyInfo& key, const Value& value, void* object, const std::string& name, Origins& origins,
              Problems& problems) {
  if (key.type == Type::kTableArray) {
    read_table_array(value, key, object, name, origins, problems);
    return;
  }
  if (key.type == Type::kTable) {
    if (const Table* inner = value.table()) {
      read_table(*inner, *key.table, &member<char>(key, object), name, origins, problems);
    } else {
      error(problems, value.where, name, "expected a table, found " + std::string(value.kind()));
    }
    return;
  }
  const std::string problem = assign_value(key, object, value);
  if (!problem.empty()) {
    error(problems, value.where, name, problem);
    return;
  }
  check_log_level(key, object, value, name, problems);
  origins[name] = "in " + value.where;
}

// Calls read(name, table) for each [<group>.<name>].
template <typename Read>
void each_table(const Table& root, std::string_view group, Problems& problems, Read read) {
  const auto found = root.find(group);
  if (found == root.end()) return;
  const Table* tables = found->second.table();
  if (tables == nullptr) {
    error(problems, found->second.where, std::string(group),
          "expected tables like [" + std::string(group) + ".<name>]");
    return;
  }
  for (const auto& [name, value] : *tables) {
    const std::string full = std::string(group) + "." + name;
    if (const Table* table = value.table()) {
      read(name, full, *table, value.where);
    } else {
      error(problems, value.where, full, "expected a table, found " + std::string(value.kind()));
    }
  }
}

void warn_of_unknown_tables(const Table& root, Problems& problems) {
  constexpr std::string_view kKnown[] = {"hypervisor", "agent", "runtime"};
  for (const auto& [name, value] : root) {
    if (std::ranges::find(kKnown, name) != std::end(kKnown)) continue;
    const std::string_view near = nearest(name, kKnown);
    problems.warnings.push_back(value.where + ": " + name + ": unknown, ignored" +
                                (near.empty() ? "" : "; did you mean " + std::string(near) + "?"));
  }
}

}  // namespace

void read_table(const Table& table, const TableInfo& info, void* object, const std::string& name,
                Origins& origins, Problems& problems) {
  for (const auto& [key, value] : table) {
    if (const KeyInfo* row = info.find(key)) {
      read_key(*row, value, object, name + "." + std::string(row->name), origins, problems);
    } else {
      unknown_key(key, value, info, name, problems);
    }
  }
}

bool read_table_array(const Value& value, const KeyInfo& key, void* object, const std::string& name,
                      Origins& origins, Problems& problems) {
  const Array* items = value.array();
  const bool all_tables =
      items != nullptr && std::ranges::all_of(*items, [](const Value& v) { return v.table(); });
  if (!all_tables) {
    error(problems, value.where, name, "expected an array of tables");
    return false;
  }
  void* vector = &member<char>(key, object);
  key.clear(vector);
  for (std::size_t i = 0; i < items->size(); ++i) {
    const Value& item = (*items)[i];
    const std::string item_name = name + "[" + std::to_string(i) + "]";
    void* element = key.grow(vector);
    read_table(*item.table(), *key.table, element, item_name, origins, problems);
    for (const KeyInfo& row : key.table->keys) {
      const bool needed = row.check.kind == Check::Kind::kNotEmpty ||
                          row.check.kind == Check::Kind::kExtensionName ||
                          row.check.kind == Check::Kind::kSharedPath;
      if (needed && !item.table()->contains(row.name)) {
        error(problems, item.where, item_name, "needs the key " + std::string(row.name));
      }
    }
  }
  origins[name] = "in " + value.where;
  return true;
}

Tables read_tables(const Table& root, Problems& problems) {
  Tables tables;
  warn_of_unknown_tables(root, problems);
  each_table(root, "hypervisor", problems,
             [&](const auto& name, const auto& full, const Table& table, const auto& where) {
               if (!known_vmm(name)) {
                 error(problems, where, full,
                       "no such hypervisor; expected one of " + std::string(known_vmm_names()));
               } else {
                 read_table(table, kHypervisorTable, &tables.hypervisors[name], full, tables.origins,
                            problems);
               }
             });
  each_table(root, "agent", problems,
             [&](const auto& name, const auto& full, const Table& table, const auto&) {
               read_table(table, kAgentTable, &tables.agents[name], full, tables.origins, problems);
             });
  if (const auto runtime = root.find("runtime"); runtime != root.end()) {
    if (const Table* table = runtime->second.table()) {
      read_table(*table, kRuntimeTable, &tables.runtime, "runtime", tables.origins, problems);
    } else {
      error(problems, runtime->second.where, "runtime",
            "expected a table, found " + std::string(runtime->second.kind()));
    }
  }
  return tables;
}

}  // namespace kata::config
