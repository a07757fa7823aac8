#include "host/shim/process_metrics.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace kata::shim {
namespace {

namespace fs = std::filesystem;

class ProcessMetrics : public testing::Test {
 protected:
  ProcessMetrics() : root_(::mkdtemp(name_)) {
    fs::create_directories(root_ + "/7/task/7");
    fs::create_directories(root_ + "/7/task/8");
    fs::create_directory(root_ + "/7/fd");
    put("fd/0", "");
    put("status",
        "Name:\tqemu: VmFake: 9\nVmRSS:\t    3744 kB\nThreads:\t2\nState:\tS "
        "(sleeping)\nvoluntary_ctxt_switches:\t12\n");
    put("stat", "7 (a) b (c) S 1 7 7 0 -1 4194560 97 0 0 0 11 22 33 44 20 0 1 0 34 0\n");
    put("io", "rchar: 1\nread_bytes: 18446744073709551615\n");
  }
  ~ProcessMetrics() override { fs::remove_all(root_); }
  void put(const std::string& name, const char* text) { std::ofstream(root_ + "/7/" + name) << text; }
  [[nodiscard]] bool has(const std::string& line) const {
    return ("\n" + process_metrics("kata_shim", 7, root_)).find("\n" + line + "\n") != std::string::npos;
  }

  char name_[32] = "/tmp/kata-metrics-XXXXXX";
  std::string root_;
};

TEST_F(ProcessMetrics, EveryFamily) {
  EXPECT_TRUE(has("# TYPE kata_shim_threads gauge"));
  EXPECT_TRUE(has("kata_shim_threads 2"));
  EXPECT_TRUE(has("kata_shim_fds 1"));
  EXPECT_TRUE(has("kata_shim_proc_status{item=\"vmrss\"} 3744"));
  EXPECT_TRUE(has("kata_shim_proc_status{item=\"voluntary_ctxt_switches\"} 12"));
  EXPECT_TRUE(has("kata_shim_proc_stat{item=\"utime\"} 11"));
  EXPECT_TRUE(has("kata_shim_proc_stat{item=\"cstime\"} 44"));
  EXPECT_TRUE(has("kata_shim_io_stat{item=\"rchar\"} 1"));
  EXPECT_TRUE(has("kata_shim_io_stat{item=\"read_bytes\"} 18446744073709551615"));
  EXPECT_FALSE(has("kata_shim_proc_status{item=\"state\"} 0"));
}

TEST_F(ProcessMetrics, StrangeFilesGiveNoFigures) {
  for (const char* text :
       {"", "7", "7 (x", "7 (x)", "7 (x) S 1 2", "7 (x) S 1 7 7 0 -1 4194560 97 0 0 0 11"}) {
    put("stat", text);
    EXPECT_FALSE(has("kata_shim_proc_stat{item=\"stime\"} 22")) << text;
  }
}

TEST_F(ProcessMetrics, AProcessThatIsGoneHasNone) {
  EXPECT_EQ(process_metrics("kata_shim", 8, root_), "");
}

TEST(ProcessMetricsOfThisProcess, AreThere) {
  EXPECT_NE(process_metrics("kata_shim", ::getpid()).find("kata_shim_threads 1\n"), std::string::npos);
}

}  // namespace
}  // namespace kata::shim
