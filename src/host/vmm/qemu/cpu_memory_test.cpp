#include "host/vmm/qemu/cpu_memory.h"

#include <array>
#include <sys/socket.h>

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "lib/async/deadline.h"
#include "lib/fd/io.h"

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

// A QEMU of the test's own behind the monitor: it answers each command, by its name, with the next of its
// answers.
class PlugTest : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> qmp, words;
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp.data()), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, words.data()), 0);
    peer_.assign(qmp[1]);
    errors_ = UniqueFd(words[1]);
    Launched launched;
    Command command;
    command.argv = {"sleep", "1000"};
    launched.child = ChildProcess::start(context_.get_executor(), command);
    launched.qmp = UniqueFd(qmp[0]);
    launched.error_output = UniqueFd(words[0]);
    machine_ = Machine::create(context_.get_executor(), std::move(launched));
    asio::co_spawn(context_, serve(), [](const std::exception_ptr&) {});
  }
  void TearDown() override {
    errors_.reset();
    machine_->kill();
    peer_.close();
    run(machine_->wait());
  }
  // Until the call's end; the text of its error.
  template <typename T>
  std::string run(Awaitable<T> call) {
    auto limited = with_deadline(std::move(call), std::chrono::seconds(60), "the test");
    auto done = asio::co_spawn(context_, std::move(limited), asio::use_future);
    context_.restart();
    while (done.wait_for(std::chrono::seconds(0)) != std::future_status::ready && context_.run_one() != 0) {
    }
    try {
      done.get();
    } catch (const Error& error) {
      return error.message();
    }
    return {};
  }
  Awaitable<> serve() {
    write_all(peer_.native_handle(), "{\"QMP\":{\"version\":{\"qemu\":{}}}}\n", "greeting");
    std::string text;
    while (true) {
      const size_t n =
          co_await asio::async_read_until(peer_, asio::dynamic_buffer(text), '\n', asio::use_awaitable);
      const boost::json::value command = boost::json::parse(text.substr(0, n));
      text.erase(0, n);
      const std::string name(command.at("execute").as_string());
      heard.push_back(name);
      boost::json::object answer = {{"id", command.at("id")}};
      if (refused.contains(name))
        answer["error"] = {{"class", "GenericError"}, {"desc", refused[name]}};
      else
        answer["return"] = boost::json::object();
      std::string said = boost::json::serialize(answer) + "\n";
      if (name == "device_add" && !refused.contains(name)) said += guest_says + "\n";
      write_all(peer_.native_handle(), said, "answer");
    }
  }
  QemuCpuMemory memory() {
    VmSpec spec;
    spec.memory = {.mib = 256, .max_mib = 1024, .slots = 2};
    return {machine_, spec, Accelerator::kTcg};
  }

  asio::io_context context_;
  asio::posix::stream_descriptor peer_{context_};
  UniqueFd errors_;
  std::shared_ptr<Machine> machine_;
  // Command → why it is refused; what the guest says once a device is there; what was asked.
  std::map<std::string, std::string> refused;
  std::string guest_says =
      R"({"event":"ACPI_DEVICE_OST","data":{"info":{"device":"dimm-0","source":1,"status":0,"slot":"0","slot-type":"DIMM"}}})";
  std::vector<std::string> heard;
};

TEST_F(PlugTest, ADimmThatQemuRefusesLeavesNothing) {
  QemuCpuMemory vm = memory();
  refused["device_add"] = "no slot for it";
  EXPECT_THAT(run(vm.set_memory(512)), HasSubstr("no slot for it"));
  EXPECT_THAT(heard, ElementsAre("object-add", "device_add", "object-del"));
  EXPECT_EQ(vm.size().memory_mib, 256U);
  // Nothing was used up: the next try has both slots.
  refused.clear();
  guest_says.replace(guest_says.find("dimm-0"), 6, "dimm-1");
  EXPECT_EQ(run(vm.set_memory(384)), "");
  EXPECT_EQ(vm.size().memory_mib, 384U);
}

TEST_F(PlugTest, MemoryThatQemuDoesNotHave) {
  QemuCpuMemory vm = memory();
  refused["object-add"] = "cannot set up guest memory";
  EXPECT_THAT(run(vm.set_memory(512)), HasSubstr("cannot set up guest memory"));
  EXPECT_THAT(heard, ElementsAre("object-add"));
  EXPECT_EQ(vm.size().memory_mib, 256U);
}

// It is the VM's, whatever the guest does with it: plugged once more it would be twice there.
TEST_F(PlugTest, AGuestThatDoesNotTakeItsMemoryHasItAllTheSame) {
  QemuCpuMemory vm = memory();
  guest_says.replace(guest_says.find("\"status\":0"), 10, "\"status\":1");
  EXPECT_EQ(run(vm.set_memory(512)), "");
  EXPECT_EQ(vm.size().memory_mib, 512U);
  EXPECT_EQ(run(vm.set_memory(512)), "");
  EXPECT_THAT(heard, ElementsAre("object-add", "device_add"));
}

}  // namespace
}  // namespace kata::vmm::qemu
