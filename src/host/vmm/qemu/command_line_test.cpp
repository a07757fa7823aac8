#include "host/vmm/qemu/command_line.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::vmm::qemu {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

VmSpec small_spec() {
  VmSpec spec;
  spec.id = "sb1";
  spec.program = "/usr/bin/qemu-system-x86_64";
  spec.memory.mib = 256;
  spec.boot.kernel = "/k/vmlinux";
  spec.boot.initrd = "/k/initrd";
  spec.boot.command_line = "agent.log=debug";
  spec.console = false;
  return spec;
}

CommandLine build(const VmSpec& spec, Accelerator accelerator = Accelerator::kTcg) {
  return build_command_line(spec, accelerator, {.qmp = 7, .console = 8},
                            {.first_stage = {}, .image_bytes = uint64_t{1} << 20});
}

// "-name value" pairs and lone flags, one text each.
std::vector<std::string> options(const CommandLine& line) {
  std::vector<std::string> result;
  for (size_t i = 1; i < line.argv.size(); ++i) {
    const bool has_value = i + 1 < line.argv.size() && !line.argv[i + 1].starts_with("-");
    result.push_back(line.argv[i] + (has_value ? " " + line.argv[i + 1] : ""));
    if (has_value) ++i;
  }
  return result;
}

TEST(CommandLineTest, SmallestVm) {
  const CommandLine line = build(small_spec());
  EXPECT_EQ(line.argv.front(), "/usr/bin/qemu-system-x86_64");
  EXPECT_THAT(
      options(line),
      ElementsAre("-name sandbox-sb1,debug-threads=on", "-nodefaults", "-no-user-config", "-no-reboot",
                  "-display none",
                  "-machine q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off,dump-guest-core=off,"
                  "memory-backend=entire-guest-memory",
                  "-accel tcg,thread=multi", "-cpu max,erms=off,fsrm=off,la57=off", "-smp 1", "-m 256M",
                  "-object memory-backend-ram,id=entire-guest-memory,size=256M", "-kernel /k/vmlinux",
                  "-initrd /k/initrd", "-append " + kernel_command_line(small_spec(), Accelerator::kTcg),
                  "-chardev socket,id=qmp,fd=7", "-mon chardev=qmp,mode=control",
                  "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
  EXPECT_THAT(line.inherit, ElementsAre(7));
}

struct Row {
  const char* name;
  std::function<void(VmSpec&)> change;
  // Options that the change adds, in order, and those of the small VM that it takes away.
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::vector<int> inherited = {7};
};

const char* const kSmallMachine =
    "-machine q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off,dump-guest-core=off,"
    "memory-backend=entire-guest-memory";
const char* const kSmallMemory = "-object memory-backend-ram,id=entire-guest-memory,size=256M";

void expect_changes(const std::vector<Row>& rows) {
  const std::vector<std::string> before = options(build(small_spec()));
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    VmSpec spec = small_spec();
    row.change(spec);
    const CommandLine line = build(spec);
    const std::vector<std::string> after = options(line);
    std::vector<std::string> added, removed;
    for (const std::string& option : after) {
      if (std::ranges::find(before, option) == before.end()) added.push_back(option);
    }
    for (const std::string& option : before) {
      if (std::ranges::find(after, option) == after.end()) removed.push_back(option);
    }
    EXPECT_THAT(added, ElementsAreArray(row.added));
    EXPECT_THAT(removed, ElementsAreArray(row.removed));
    EXPECT_EQ(line.inherit, row.inherited);
  }
}

TEST(CommandLineTest, Machine) {
  expect_changes({
      {"accelerators text",
       [](VmSpec& s) { s.machine_accelerators = "kernel_irqchip=split"; },
       {std::string(kSmallMachine) + ",kernel_irqchip=split"},
       {kSmallMachine}},
      {"pc",
       [](VmSpec& s) { s.machine_type = "pc"; },
       {"-machine pc,dump-guest-core=off,memory-backend=entire-guest-memory"},
       {kSmallMachine}},
      {"versioned q35",
       [](VmSpec& s) { s.machine_type = "pc-q35-7.2"; },
       {"-machine pc-q35-7.2,dump-guest-core=off,memory-backend=entire-guest-memory"},
       {kSmallMachine}},
      {"firmware", [](VmSpec& s) { s.boot.firmware = "/f.rom"; }, {"-bios /f.rom"}, {}},
      {"id with a comma",
       [](VmSpec& s) { s.id = "a,b"; },
       {"-name sandbox-a,,b,debug-threads=on"},
       {"-name sandbox-sb1,debug-threads=on"}},
      {"sandbox off",
       [](VmSpec& s) { s.seccomp_sandbox = false; },
       {},
       {"-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}},
      {"sandbox of the configuration",
       [](VmSpec& s) { s.seccomp_value = "on,spawn=deny"; },
       {"-sandbox on,spawn=deny"},
       {"-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}},
      {"console",
       [](VmSpec& s) { s.console = true; },
       {"-append " +
            [] {
              VmSpec spec = small_spec();
              spec.console = true;
              return kernel_command_line(spec, Accelerator::kTcg);
            }(),
        "-chardev socket,id=console,fd=8", "-serial chardev:console"},
       {"-append " + kernel_command_line(small_spec(), Accelerator::kTcg)},
       {7, 8}},
  });
}

TEST(CommandLineTest, LaterMemory) {
  expect_changes({
      {"slots alone", [](VmSpec& s) { s.memory.slots = 10; }, {}, {}},
      {"room in the address space",
       [](VmSpec& s) {
         s.memory.max_mib = 512;
         s.memory.slots = 1000;
         s.memory.offset_mib = 100;
       },
       {"-m 256M,slots=256,maxmem=612M"},
       {"-m 256M"}},
      {"memory without slots", [](VmSpec& s) { s.memory.max_mib = 512; }, {}, {}},
      {"virtio-mem",
       [](VmSpec& s) {
         s.memory.max_mib = 1025;
         s.memory.virtio_mem = true;
       },
       {"-m 256M,maxmem=1025M", "-object memory-backend-memfd,id=virtiomem,size=768M,reserve=off",
        "-device virtio-mem-pci,id=virtiomem0,memdev=virtiomem,requested-size=0,disable-legacy=on"},
       {"-m 256M"}},
      {"free pages go back",
       [](VmSpec& s) { s.memory.reclaim = true; },
       {"-device virtio-balloon-pci,id=balloon0,free-page-reporting=on,deflate-on-oom=on,disable-legacy=on"},
       {}},
  });
}

// Under a hypervisor that guests know, later vCPUs are plugged in; emulated ones are there, kept offline.
TEST(CommandLineTest, LaterVcpus) {
  struct Row {
    const char* name;
    uint32_t boot, most;
    const char *machine, *kvm, *tcg, *words;
  };
  const Row rows[] = {{"none", 1, 1, "q35", "-smp 1", "-smp 1", ""},
                      {"eight", 1, 8, "q35", "-smp 1,maxcpus=8", "-smp 8", " maxcpus=1 noreplace-smp"},
                      {"from two", 2, 8, "q35", "-smp 2,maxcpus=8", "-smp 8", " maxcpus=2 noreplace-smp"},
                      {"nonsense", 2, 1, "q35", "-smp 2", "-smp 2", ""},
                      {"no hot-plug", 1, 8, "microvm", "-smp 1", "-smp 1", ""}};
  for (const Row& row : rows) {
    VmSpec spec = small_spec();
    spec.cpu.boot = row.boot;
    spec.cpu.max = row.most;
    spec.machine_type = row.machine;
    EXPECT_THAT(options(build(spec, Accelerator::kKvm)), testing::Contains(row.kvm)) << row.name;
    EXPECT_THAT(options(build(spec, Accelerator::kTcg)), testing::Contains(row.tcg)) << row.name;
    const std::string words = kernel_command_line(spec, Accelerator::kTcg);
    EXPECT_EQ(words.find("maxcpus=") != std::string::npos, *row.words != 0) << row.name;
    EXPECT_THAT(words, HasSubstr(row.words)) << row.name;
    EXPECT_EQ(kernel_command_line(spec, Accelerator::kKvm).find("maxcpus="), std::string::npos) << row.name;
  }
}

TEST(CommandLineTest, CpuAndMemory) {
  expect_changes({
      {"features",
       [](VmSpec& s) { s.cpu.features = "pmu=off"; },
       {"-cpu max,erms=off,fsrm=off,la57=off,pmu=off"},
       {"-cpu max,erms=off,fsrm=off,la57=off"}},
      {"two vCPUs", [](VmSpec& s) { s.cpu.boot = s.cpu.max = 2; }, {"-smp 2"}, {"-smp 1"}},
      // B23: maxcpus only when something can be plugged.
      {"room for more",
       [](VmSpec& s) { s.cpu.max = 8; },
       {"-smp 8", "-append " +
                      [] {
                        VmSpec spec = small_spec();
                        spec.cpu.max = 8;
                        return kernel_command_line(spec, Accelerator::kTcg);
                      }()},
       {"-smp 1", "-append " + kernel_command_line(small_spec(), Accelerator::kTcg)}},
      {"nonsense maximum", [](VmSpec& s) { s.cpu.max = 0; }, {}, {}},
      {"memory may grow",
       [](VmSpec& s) {
         s.memory.max_mib = 4096;
         s.memory.slots = 10;
       },
       {"-m 256M,slots=10,maxmem=4096M"},
       {"-m 256M"}},
      {"memory may not grow", [](VmSpec& s) { s.memory.max_mib = 256; }, {}, {}},
      // B8: shared memory and its id; slots stay when memory may grow.
      {"shared",
       [](VmSpec& s) {
         s.memory.shared = true;
         s.memory.max_mib = 512;
         s.memory.slots = 2;
       },
       {"-machine q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off,dump-guest-core=off,"
        "memory-backend=entire-guest-memory-share",
        "-m 256M,slots=2,maxmem=512M",
        "-object memory-backend-memfd,id=entire-guest-memory-share,size=256M,share=on"},
       {kSmallMachine, "-m 256M", kSmallMemory}},
      {"preallocated",
       [](VmSpec& s) { s.memory.prealloc = true; },
       {std::string(kSmallMemory) + ",prealloc=on"},
       {kSmallMemory}},
      {"huge pages",
       [](VmSpec& s) { s.memory.huge_pages = true; },
       {"-object memory-backend-memfd,id=entire-guest-memory,size=256M,hugetlb=on"},
       {kSmallMemory}},
  });
}

TEST(CommandLineTest, VsockAndShares) {
  expect_changes({
      {"vhost-vsock",
       [](VmSpec& s) {
         s.vsock = VsockSpec{.kind = VsockSpec::Kind::kVhost, .cid = 77, .socket = {}, .vhost_fd = 12};
       },
       {"-device vhost-vsock-pci,id=vsock0,guest-cid=77,vhostfd=12,disable-legacy=on"},
       {},
       {7, 12}},
      {"vhost-user vsock",
       [](VmSpec& s) {
         s.vsock = VsockSpec{.kind = VsockSpec::Kind::kVhostUser, .cid = 3, .socket = "/r/vsock,1"};
       },
       {"-chardev socket,id=vsock,path=/r/vsock,,1", "-device vhost-user-vsock-pci,id=vsock0,chardev=vsock"},
       {}},
      {"two shares",
       [](VmSpec& s) {
         s.shares = {ShareSpec{.tag = "kataShared", .socket = "/r/fs0"},
                     ShareSpec{.tag = "two", .socket = "/r/fs1", .queue_size = 0}};
       },
       {"-chardev socket,id=share0,path=/r/fs0",
        "-device vhost-user-fs-pci,id=fs-share0,chardev=share0,tag=kataShared,queue-size=1024",
        "-chardev socket,id=share1,path=/r/fs1",
        "-device vhost-user-fs-pci,id=fs-share1,chardev=share1,tag=two"},
       {}},
  });
}

TEST(CommandLineTest, BootImage) {
  const std::string image =
      "-blockdev "
      "driver=raw,node-name=drive-image,read-only=on,file.driver=file,file.filename=/k/"
      "image,file.read-only=on";
  expect_changes({
      {"image instead of initrd",
       [](VmSpec& s) {
         s.boot.initrd.clear();
         s.boot.image = "/k/image";
       },
       {image, "-device virtio-blk-pci,id=image,drive=drive-image,disable-legacy=on"},
       {"-initrd /k/initrd"}},
      {"image as memory",
       [](VmSpec& s) {
         s.boot.initrd.clear();
         s.boot.image = "/k/image,1";
         s.boot.image_driver = "virtio-pmem";
         s.memory.max_mib = s.memory.mib;
       },
       {"-machine q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off,dump-guest-core=off,"
        "memory-backend=entire-guest-memory,nvdimm=on",
        "-m 256M,slots=1,maxmem=257M",
        "-object memory-backend-file,id=image-memory,mem-path=/k/image,,1,size=1048576,share=on,readonly=on",
        "-device nvdimm,id=image,memdev=image-memory,unarmed=on"},
       {"-machine q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off,dump-guest-core=off,"
        "memory-backend=entire-guest-memory",
        "-m 256M", "-initrd /k/initrd"}},
  });
}

TEST(CommandLineTest, DisksAndNics) {
  expect_changes({
      {"disk in a planned place",
       [](VmSpec& s) {
         s.disks = {DiskSpec{.id = "drive-1", .number = 1, .files = {30}, .pci = PciPlace{.slot = 26}}};
       },
       {"-add-fd fd=30,set=1024,opaque=kata-block:drive-1:block-source",
        R"(-blockdev {"driver":"raw","node-name":"drive-1","read-only":false,"discard":"unmap",)"
        R"("file":{"driver":"file","filename":"/dev/fdset/1024","read-only":false,"discard":"unmap"}})",
        R"(-device {"driver":"virtio-blk-pci","bus":"pcie.0","addr":"0x1a","disable-legacy":"on",)"
        R"("id":"drive-1","drive":"drive-1","share-rw":true})"},
       {},
       {7, 30}},
      {"ports to plug into",
       [](VmSpec& s) { s.ports = {PortSpec{.id = "hp0", .slot = 29, .function = 0}}; },
       {R"(-device {"driver":"pcie-root-port","id":"hp0","bus":"pcie.0","addr":"0x1d.0",)"
        R"("multifunction":true,"chassis":1,"slot":1})"},
       {}},
      {"SCSI controller with a thread",
       [](VmSpec& s) {
         s.block.driver = "virtio-scsi";
         s.block.enable_iothreads = true;
         s.scsi_controllers = {ScsiControllerSpec{.id = "scsi0", .place = PciPlace{.slot = 26}}};
       },
       {"-object iothread,id=scsi-io-thread",
        R"(-device {"driver":"virtio-scsi-pci","id":"scsi0","bus":"pcie.0","addr":"0x1a",)"
        R"("disable-legacy":"on","iothread":"scsi-io-thread"})"},
       {}},
      {"tap with vhost",
       [](VmSpec& s) {
         s.nics = {NicSpec{.id = "eth0", .mac = "02:00:00:00:00:01", .tap_fds = {20}, .vhost_fds = {21}}};
       },
       {"-netdev tap,id=net-eth0,fds=20,vhost=on,vhostfds=21",
        "-device virtio-net-pci,id=eth0,netdev=net-eth0,mac=02:00:00:00:00:01,romfile=,disable-legacy=on"},
       {},
       {7, 20, 21}},
      {"tap with two queues",
       [](VmSpec& s) { s.nics = {NicSpec{.id = "eth0", .mac = {}, .tap_fds = {20, 21}, .vhost_fds = {}}}; },
       {"-netdev tap,id=net-eth0,fds=20:21",
        "-device virtio-net-pci,id=eth0,netdev=net-eth0,mq=on,vectors=6,romfile=,disable-legacy=on"},
       {},
       {7, 20, 21}},
  });
}

// B12 and B14: three conditions together make the objects.
TEST(CommandLineTest, IndependentIothreads) {
  struct IothreadRow {
    const char* driver;
    bool enabled;
    uint32_t count;
    size_t expected;
  };
  for (const IothreadRow& row :
       {IothreadRow{"virtio-blk-pci", true, 4, 4}, IothreadRow{"virtio-blk-pci", true, 1, 1},
        IothreadRow{"virtio-blk-pci", true, 0, 0}, IothreadRow{"virtio-blk-pci", false, 4, 0},
        IothreadRow{"virtio-scsi", true, 4, 0}, IothreadRow{"virtio-blk-mmio", true, 4, 0}}) {
    VmSpec spec = small_spec();
    spec.block =
        BlockSettings{.driver = row.driver, .enable_iothreads = row.enabled, .indep_iothreads = row.count};
    const std::vector<std::string> all = options(build(spec));
    size_t found = 0;
    for (uint32_t i = 0; i < 5; ++i)
      found += static_cast<size_t>(
          std::ranges::count(all, "-object iothread,id=indep_iothread_" + std::to_string(i)));
    EXPECT_EQ(found, row.expected) << row.driver << " " << row.enabled << " " << row.count;
  }
}

TEST(CommandLineTest, MicrovmHasMmioDevices) {
  VmSpec spec = small_spec();
  spec.machine_type = "microvm";
  spec.memory.shared = true;
  spec.vsock = VsockSpec{.kind = VsockSpec::Kind::kVhostUser, .cid = 3, .socket = "/v"};
  spec.shares = {ShareSpec{.tag = "t", .socket = "/s"}};
  const std::vector<std::string> all = options(build(spec));
  EXPECT_THAT(all, testing::Contains("-device vhost-user-vsock-device,id=vsock0,chardev=vsock"));
  EXPECT_THAT(all, testing::Contains(
                       "-device vhost-user-fs-device,id=fs-share0,chardev=share0,tag=t,queue-size=1024"));
}

TEST(CommandLineTest, Kvm) {
  VmSpec spec = small_spec();
  spec.cpu.features = "pmu=off";
  const std::vector<std::string> all = options(build(spec, Accelerator::kKvm));
  EXPECT_THAT(all, testing::IsSupersetOf({"-accel kvm", "-cpu host,pmu=off"}));
}

TEST(KernelCommandLineTest, DriverWordsThenTheSpecs) {
  VmSpec spec = small_spec();
  EXPECT_EQ(kernel_command_line(spec, Accelerator::kKvm), "reboot=t panic=-1 quiet agent.log=debug");
  spec.console = true;
  EXPECT_EQ(kernel_command_line(spec, Accelerator::kKvm),
            "reboot=t panic=-1 console=ttyS0 8250.nr_uarts=1 quiet agent.log=debug");
  spec.debug = true;
  EXPECT_EQ(kernel_command_line(spec, Accelerator::kKvm),
            "reboot=t panic=-1 console=ttyS0 8250.nr_uarts=1 agent.log=debug");
  EXPECT_THAT(kernel_command_line(spec, Accelerator::kTcg), HasSubstr(" mitigations=off "));
  EXPECT_THAT(kernel_command_line(spec, Accelerator::kKvm), testing::Not(HasSubstr("mitigations=off")))
      << "a real CPU runs other guests beside this one";
  EXPECT_THAT(kernel_command_line(spec, Accelerator::kTcg), HasSubstr(" lsm=capability "));
  spec.boot.command_line = "selinux=1";
  EXPECT_THAT(kernel_command_line(spec, Accelerator::kTcg), testing::Not(HasSubstr("lsm=")));
}

}  // namespace
}  // namespace kata::vmm::qemu
