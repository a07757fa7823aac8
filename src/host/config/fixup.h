// Second and third step of a load: what absent keys mean for each VMM, clamps, real paths; and the checks
// that need more than one key. Both walk every [hypervisor.*] and [agent.*] table.
#pragma once

#include <string>
#include <string_view>

#include "host/config/table_reader.h"

namespace kata::config {

// One table on its way through a step: how its problems are named and where they go. The problems of a table
// that is not the active one are warnings: they must not stop a pod that does not use it.
class TableScope {
 public:
  // `table` is the full name, "hypervisor.qemu"; `origins` and `problems` outlive the scope.
  TableScope(std::string table, bool active, const Origins& origins, Problems& problems)
      : table_(std::move(table)), active_(active), origins_(origins), problems_(problems) {}

  [[nodiscard]] bool active() const { return active_; }
  // "hypervisor.qemu.kernel in <file>:12", "... (default)", "... set by annotation <name>".
  [[nodiscard]] std::string describe(std::string_view key) const;
  // A problem with that key's value: "<describe>: <problem>".
  void problem(std::string_view key, std::string_view problem) const;
  void warning(std::string_view key, std::string_view warning) const;

 private:
  std::string table_;
  bool active_;
  const Origins& origins_;
  Problems& problems_;
};

void fix_up_hypervisor(std::string_view vmm, HypervisorConfig& config, const HostFacts& host,
                       const TableScope& scope);
void fix_up_runtime(RuntimeConfig& config, const TableScope& scope);

void validate_hypervisor(std::string_view vmm, const HypervisorConfig& config, const HostFacts& host,
                         const TableScope& scope);
void validate_agent(const AgentConfig& config, const TableScope& scope);

}  // namespace kata::config
