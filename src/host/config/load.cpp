#include "host/config/load.h"

#include <utility>

#include "host/config/annotations.h"
#include "host/config/fixup.h"

namespace kata::config {

namespace {

// One problem stands in the message itself; several are listed one a line.
void throw_problems(const Problems& problems, const std::string& path) {
  if (problems.errors.empty()) return;
  std::string text = "the configuration " + path + " cannot be used: ";
  if (problems.errors.size() == 1) throw Error(Code::kInvalidArgument, text + problems.errors.front());
  text += std::to_string(problems.errors.size()) + " problems";
  for (const std::string& error : problems.errors) text += "\n  " + error;
  throw Error(Code::kInvalidArgument, text);
}

// The three names of [runtime], after the annotations that select a table. False when there are no active
// tables.
bool check_names(const Tables& tables, Problems& problems) {
  const TableScope scope("runtime", true, tables.origins, problems);
  const RuntimeConfig& runtime = tables.runtime;
  if (runtime.name.empty()) {
    scope.problem("name", "must be set; expected virt_container");
  } else if (runtime.name != "virt_container") {
    scope.problem("name", "\"" + runtime.name + "\" is not built in; expected virt_container");
  }
  const auto check = [&](std::string_view key, const std::string& name, const auto& map,
                         std::string_view group) {
    if (name.empty()) {
      scope.problem(key, "must be set to the name of a [" + std::string(group) + ".<name>] table");
    } else if (!map.contains(name)) {
      scope.problem(key, "there is no table [" + std::string(group) + "." + name + "]");
    }
  };
  check("hypervisor_name", runtime.hypervisor_name, tables.hypervisors, "hypervisor");
  check("agent_name", runtime.agent_name, tables.agents, "agent");
  return tables.hypervisors.contains(runtime.hypervisor_name) && tables.agents.contains(runtime.agent_name);
}

void finish_tables(Tables& tables, const HostFacts& host, Problems& problems) {
  for (auto& [name, hypervisor] : tables.hypervisors) {
    const bool active = name == tables.runtime.hypervisor_name;
    const TableScope scope("hypervisor." + name, active, tables.origins, problems);
    fix_up_hypervisor(name, hypervisor, host, scope);
    validate_hypervisor(name, hypervisor, host, scope);
  }
  fix_up_runtime(tables.runtime, TableScope("runtime", true, tables.origins, problems));
  for (const auto& [name, agent] : tables.agents) {
    const bool active = name == tables.runtime.agent_name;
    validate_agent(agent, TableScope("agent." + name, active, tables.origins, problems));
  }
}

}  // namespace

Config resolve(Document document, const LoadRequest& request) {
  Problems problems{.errors = {}, .warnings = std::move(document.warnings)};
  Tables tables = read_tables(document.root, problems);
  apply_table_annotations(request.annotations, tables, problems);
  // Without the active tables nothing further can be said.
  if (!check_names(tables, problems)) throw_problems(problems, document.path);
  apply_annotations(request.annotations, tables, problems);
  finish_tables(tables, request.host, problems);
  throw_problems(problems, document.path);

  Config config;
  config.hypervisor_name = tables.runtime.hypervisor_name;
  config.agent_name = tables.runtime.agent_name;
  config.hypervisor = std::move(tables.hypervisors.at(config.hypervisor_name));
  config.agent = std::move(tables.agents.at(config.agent_name));
  config.runtime = std::move(tables.runtime);
  config.path = std::move(document.path);
  config.warnings = std::move(problems.warnings);
  config.origins = std::move(tables.origins);
  return config;
}

Config load(const LoadRequest& request) {
  if (auto body = document_of_body(request)) return resolve(*std::move(body), request);
  return resolve(read_document(find_config(request)), request);
}

}  // namespace kata::config
