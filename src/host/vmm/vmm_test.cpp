#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "host/vmm/accelerator.h"
#include "host/vmm/console_log.h"
#include "host/vmm/vm_driver.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::vmm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct AcceleratorRow {
  const char* name;
  Accelerator wanted;
  AcceleratorProbe probe;
  Accelerator chosen;
  const char* warning;
};

TEST(AcceleratorTest, ChoosesWhatCanWork) {
  const AcceleratorProbe usable{.kvm_problem = "", .cpu_virtualisation = true};
  const AcceleratorProbe stand_in{.kvm_problem = "", .cpu_virtualisation = false};
  const AcceleratorProbe absent{.kvm_problem = "/dev/kvm: No such file", .cpu_virtualisation = true};
  const std::vector<AcceleratorRow> rows = {
      {"auto usable", Accelerator::kAuto, usable, Accelerator::kKvm, ""},
      {"auto without cpu flags", Accelerator::kAuto, stand_in, Accelerator::kTcg, "neither vmx nor svm"},
      {"auto without device", Accelerator::kAuto, absent, Accelerator::kTcg, "No such file"},
      {"tcg asked for", Accelerator::kTcg, usable, Accelerator::kTcg, ""},
      {"kvm asked for", Accelerator::kKvm, stand_in, Accelerator::kKvm, ""},
  };
  for (const AcceleratorRow& row : rows) {
    SCOPED_TRACE(row.name);
    const AcceleratorChoice choice = choose_accelerator(row.wanted, row.probe);
    EXPECT_EQ(choice.accelerator, row.chosen);
    EXPECT_THAT(choice.warning, HasSubstr(row.warning));
    EXPECT_EQ(choice.warning.empty(), *row.warning == '\0');
  }
  EXPECT_THROW(choose_accelerator(Accelerator::kKvm, absent), Error);
}

TEST(AcceleratorTest, ReadsCpuFlagsAsWords) {
  struct Row {
    const char* name;
    const char* cpuinfo;
    bool expected;
  };
  const std::string path = testing::TempDir() + "/cpuinfo";
  for (const Row& row :
       {Row{"intel", "processor\t: 0\nflags\t\t: fpu vmx sse\n", true},
        Row{"amd at the end", "flags\t\t: fpu svm\nbugs : x\n", true},
        Row{"amd, end of file", "flags : svm", true},
        Row{"part of a word", "flags\t\t: fpu svm_lock vmxnet\n", false},
        Row{"other line", "vmx flags\t: vmx ept\nflags\t: fpu\n", false}, Row{"empty", "", false}}) {
    SCOPED_TRACE(row.name);
    write_file(path, row.cpuinfo);
    EXPECT_EQ(probe_accelerator("/dev/null", path).cpu_virtualisation, row.expected);
  }
  EXPECT_EQ(probe_accelerator("/dev/null", path).kvm_problem, "");
  EXPECT_THAT(probe_accelerator("/nonexistent", path).kvm_problem, HasSubstr("/nonexistent: No such file"));
}

TEST(ConsoleLogTest, KeepsTheLastLinesPrintable) {
  ConsoleLog log(3, 8);
  log.append("one\r\ntw");
  log.append("o\n\n\x1b[2J\x1b[1;31mred\x1b[0m\n");
  EXPECT_THAT(log.last(10), ElementsAre("one", "two", "red"));
  log.append("a long line of text\nhalf\xff");
  EXPECT_THAT(log.last(10), ElementsAre("two", "red", "a long l", "half?"));
  EXPECT_THAT(log.last(1), ElementsAre("half?"));
  EXPECT_EQ(log.text(), "two\nred\na long l\nhalf?\n");
  log.append(std::string(1 << 16, 'x'));
  EXPECT_EQ(log.last(1).front().size(), 8U);
}

TEST(DriverTableTest, UnknownNameListsTheKnownOnes) {
  asio::io_context context;
  EXPECT_NE(make_driver("qemu", context.get_executor()), nullptr);
  try {
    make_driver("bochs", context.get_executor());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalidArgument);
    EXPECT_THAT(error.message(), HasSubstr("qemu"));
  }
}

}  // namespace
}  // namespace kata::vmm
