// One row for each configuration key whose effect is the VM: the row's line must put into QEMU's command line
// what the same file without it does not have there.
#include "host/sandbox/vm_plan.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "host/config/guest_command_line.h"
#include "host/config/key_rows.h"
#include "host/config/testing.h"
#include "host/vmm/qemu/command_line.h"

namespace kata::sandbox {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Row {
  std::string key, line, expected;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows{
      {"hypervisor.path", "path = \"@/virtiofsd\"", "@/virtiofsd "},
      {"hypervisor.kernel", "kernel = \"@/firmware\"", "-kernel @/firmware "},
      {"hypervisor.initrd", "initrd = \"@/guest.img\"", "-initrd @/guest.img "},
      {"hypervisor.firmware", "firmware = \"@/firmware\"", "-bios @/firmware "},
      {"hypervisor.cpu_features", "cpu_features = \"pmu=off\"", ",pmu=off "},
      {"hypervisor.default_vcpus", "default_vcpus = 2.5", "-smp 3"},
      {"hypervisor.default_maxvcpus", "default_maxvcpus = 5", "maxcpus=5"},
      {"hypervisor.machine_type", "machine_type = \"microvm\"", "-machine microvm"},
      {"hypervisor.machine_accelerators", "machine_accelerators = \"graphics=off\"", ",graphics=off"},
      {"hypervisor.default_memory", "default_memory = 300", "-m 300M"},
      {"hypervisor.default_maxmemory", "default_maxmemory = 1000", "maxmem=1000M"},
      {"hypervisor.memory_slots", "memory_slots = 7", "slots=7"},
      {"hypervisor.enable_mem_prealloc", "enable_mem_prealloc = true", "prealloc=on"},
      {"hypervisor.enable_hugepages", "enable_hugepages = true", "hugetlb=on"},
      {"hypervisor.seccomp_sandbox", "seccomp_sandbox = \"on,spawn=deny\"", "-sandbox on,spawn=deny "},
  };
  return kRows;
}

std::string command_line(const config::ConfigFolder& folder, const std::string& text) {
  const config::Config config = folder.load_text(text);
  vmm::VmSpec spec = plan_vm("sb1", config, "/run/x");
  spec.boot.command_line = config::guest_command_line(config);
  const vmm::Accelerator accelerator =
      spec.accelerator == vmm::Accelerator::kKvm ? vmm::Accelerator::kKvm : vmm::Accelerator::kTcg;
  std::string line;
  for (const std::string& word : vmm::qemu::build_command_line(spec, accelerator, {}).argv)
    line += word + " ";
  return line;
}

// The folder's file with the row's line instead of what it says for that key.
std::string with_line(const config::ConfigFolder& folder, const Row& row) {
  std::string text = folder.text();
  const std::string start = "\n" + row.line.substr(0, row.line.find(" = ")) + " = ";
  const std::size_t at = text.find(start);
  if (at == std::string::npos) return folder.text(row.line);
  return text.replace(at + 1, text.find('\n', at + 1) - at - 1, folder.expand(row.line));
}

TEST(VmPlan, EachKeyReachesTheCommandLine) {
  const config::ConfigFolder folder;
  for (const Row& row : rows()) {
    const std::string expected = folder.expand(row.expected);
    EXPECT_THAT(command_line(folder, with_line(folder, row)), HasSubstr(expected)) << row.key;
    EXPECT_THAT(command_line(folder, folder.text()), Not(HasSubstr(expected)))
        << row.key << " without its line";
  }
}

TEST(VmPlan, AcceleratorAndImage) {
  const config::ConfigFolder folder;
  EXPECT_EQ(plan_vm("sb1", folder.load_text(folder.text()), "/run/x").accelerator, vmm::Accelerator::kAuto);
  EXPECT_EQ(plan_vm("sb1", folder.load_text(folder.text("accelerator = \"kvm\"")), "/run/x").accelerator,
            vmm::Accelerator::kKvm);
  EXPECT_EQ(plan_vm("sb1", folder.load_text(folder.text("accelerator = \"tcg\"")), "/run/x").accelerator,
            vmm::Accelerator::kTcg);
  std::string text = folder.text();
  text.replace(text.find("initrd ="), 8, "image =");
  EXPECT_EQ(plan_vm("sb1", folder.load_text(text), "/run/x").boot.image, folder.file("initrd.img"));
}

TEST(VmPlan, StaticSizingLeavesNothingToPlugIn) {
  const config::ConfigFolder folder;
  const auto spec =
      plan_vm("sb1", folder.load_text(folder.text("", "", "static_sandbox_resource_mgmt = true")), "/run/x");
  EXPECT_EQ(spec.cpu.max, spec.cpu.boot);
  EXPECT_EQ(spec.memory.max_mib, spec.memory.mib);
}

TEST(VmPlan, NoKeyInUseIsWithoutRow) {
  std::vector<Row> all = rows();
  for (const char* key : {"hypervisor.accelerator", "hypervisor.image"}) all.push_back({key, {}, {}});
  EXPECT_THAT(keys_without_row(config::Use::kVm, all), IsEmpty());
}

}  // namespace
}  // namespace kata::sandbox
