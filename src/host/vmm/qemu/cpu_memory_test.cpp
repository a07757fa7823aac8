#include "host/vmm/qemu/cpu_memory.h"

#include <gmock/gmock.h>

namespace kata::vmm::qemu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(CpuSlots, FreeOnesInOrder) {
  const auto slots = parse_cpu_slots(
      R"([{"props":{"core-id":2,"thread-id":0,"socket-id":0},"vcpus-count":1,"type":"max-x86_64-cpu"},)"
      R"({"props":{"core-id":1,"thread-id":0,"socket-id":0},"vcpus-count":1,"type":"max-x86_64-cpu"},)"
      R"({"props":{"core-id":0,"thread-id":0,"socket-id":0},"vcpus-count":1,"qom-path":"/machine/unattached/device[0]",)"
      R"("type":"max-x86_64-cpu"},{"props":{"core-id":0,"thread-id":0,"socket-id":1},"type":"x"}])");
  ASSERT_TRUE(slots);
  ASSERT_EQ(slots->size(), 4U);
  EXPECT_EQ((*slots)[0].path, "/machine/unattached/device[0]");
  EXPECT_THAT((*slots)[1].properties, HasSubstr(R"("core-id":1)"));
  EXPECT_EQ((*slots)[1].path, "");
  EXPECT_EQ((*slots)[3].type, "x");
  for (const char* bad : {"", "{}", "[1]", R"([{"type":1,"props":{}}])", R"([{"type":"x"}])",
                          R"([{"type":"x","props":{"core-id":"y"}}])"})
    EXPECT_FALSE(parse_cpu_slots(bad)) << bad;
}

TEST(CpuThreads, ByIndex) {
  const auto threads = parse_cpu_threads(R"([{"cpu-index":1,"thread-id":9},{"cpu-index":0,"thread-id":20}])");
  ASSERT_TRUE(threads);
  EXPECT_THAT(*threads, ElementsAre(20, 9));
  for (const char* bad : {"", "[{}]", R"([{"cpu-index":0}])"}) EXPECT_FALSE(parse_cpu_threads(bad)) << bad;
}

TEST(GuestWord, OfAnEvent) {
  const auto word =
      parse_guest_word(R"({"info":{"device":"dimm-0","source":1,"status":0,"slot":"0","slot-type":"DIMM"}})");
  ASSERT_TRUE(word);
  EXPECT_EQ(word->device, "dimm-0");
  EXPECT_EQ(word->status, 0);
  for (const char* bad :
       {"", "{}", R"({"info":1})", R"({"info":{"device":"x"}})", R"({"info":{"status":"0"}})"})
    EXPECT_FALSE(parse_guest_word(bad)) << bad;
}

TEST(LaterSize, WhatAMachineCanHave) {
  VmSpec spec;
  spec.memory = {.mib = 256, .max_mib = 512, .slots = 3};
  spec.cpu = {.boot = 2, .max = 4, .features = ""};
  EXPECT_EQ(later_memory(spec), LaterMemory::kDimm);
  EXPECT_EQ(most_vcpus(spec), 4U);
  spec.memory.slots = 0;
  EXPECT_EQ(later_memory(spec), LaterMemory::kNone);
  spec.memory.virtio_mem = true;
  EXPECT_EQ(later_memory(spec), LaterMemory::kVirtioMem);
  spec.machine_type = "microvm";
  EXPECT_EQ(later_memory(spec), LaterMemory::kNone);
  EXPECT_EQ(most_vcpus(spec), 2U);
}

}  // namespace
}  // namespace kata::vmm::qemu
