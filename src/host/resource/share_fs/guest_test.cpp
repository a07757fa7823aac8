// The share as a real guest sees it: QEMU, the installed virtiofsd, a kernel, and an initrd with one program.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "host/resource/share_fs/share_fs.h"
#include "host/resource/share_fs/share_test_folder.h"
#include "host/vmm/vm_driver.h"
#include "lib/async/deadline.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::share_fs {
namespace {

using std::chrono::steady_clock;
using testing::Contains;
using testing::IsEmpty;

// One entry of a cpio archive (newc, Documentation/driver-api/early-userspace/buffer-format.rst).
std::string cpio_entry(const std::string& name, unsigned mode, const std::string& data) {
  char header[128];
  std::snprintf(header, sizeof header, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1U, mode,
                0U, 0U, 1U, 0U, static_cast<unsigned>(data.size()), 0U, 0U, 0U, 0U,
                static_cast<unsigned>(name.size() + 1), 0U);
  std::string entry = header + name + '\0';
  entry.resize((entry.size() + 3) / 4 * 4, '\0');
  entry += data;
  entry.resize((entry.size() + 3) / 4 * 4, '\0');
  return entry;
}

class ShareGuestTest : public ShareTest {
 protected:
  void SetUp() override {
    ShareTest::SetUp();
    if (IsSkipped()) return;
#if __has_feature(address_sanitizer)
    GTEST_SKIP() << "the guest's probe is static, which a sanitizer build cannot make";
#endif
    const char* set = std::getenv("KATA_TEST_KERNEL");
    kernel_ = set != nullptr ? set : "build/guest/vmlinux";
    for (const std::string& path : {kernel_, std::string("/usr/bin/qemu-system-x86_64")}) {
      if (::access(path.c_str(), R_OK) != 0) GTEST_SKIP() << path << " is not there";
    }
    try {
      find_virtiofsd("", virtiofsd_places());
    } catch (const Error& error) {
      GTEST_SKIP() << error.message();
    }
    const std::string probe =
        read_file(std::filesystem::read_symlink("/proc/self/exe").parent_path() / "share_probe");
    write_file(folder_ + "/initrd", cpio_entry("dev", 0040755, "") + cpio_entry("init", 0100755, probe) +
                                        cpio_entry("TRAILER!!!", 0, ""));
  }
  vmm::VmSpec spec(const ShareFs& share) const {
    vmm::VmSpec result;
    result.id = "share-test";
    result.program = "/usr/bin/qemu-system-x86_64";
    result.memory.mib = 256;
    result.memory.shared = true;
    result.boot.kernel = kernel_;
    result.boot.initrd = folder_ + "/initrd";
    result.shares = {*share.spec()};
    return result;
  }
  template <typename T>
  T run(Awaitable<T> task) {
    auto limited = with_deadline(std::move(task), std::chrono::seconds(90), "a step of the test");
    auto future = asio::co_spawn(context_, std::move(limited), asio::use_future);
    context_.restart();
    while (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready && context_.run_one() != 0) {
    }
    return future.get();
  }

  std::string kernel_;
  asio::io_context context_;
};

TEST_F(ShareGuestTest, SeesWhatIsMountedLaterAndWritesOnlyThere) {
  ShareFsConfig config;
  config.sandbox_id = "sb1";
  config.run_dir = folder_;
  config.base = folder_ + "/base";
  ShareFs share(context_.get_executor(), config);
  const auto driver = vmm::make_driver("qemu", context_.get_executor());
  const auto begin = steady_clock::now();
  run(share.prepare());
  const auto prepared = steady_clock::now();
  run(driver->start(spec(share)));
  const auto started = steady_clock::now();
  // virtiofsd has its mount namespace by now: what comes from here on must propagate into it.
  std::filesystem::create_directory(folder_ + "/rootfs");
  write_file(folder_ + "/rootfs/message", "from the host");
  write_file(folder_ + "/volume", "");
  share.share_rootfs("c1", folder_ + "/rootfs");
  ShareTree(config.base, "sb1").bind(folder_ + "/volume", "volume", ShareTree::Access::kReadOnly);

  run(driver->wait());
  const std::vector<std::string> console = driver->last_console_lines(200);
  for (const char* line :
       {"probe mount: done", "probe read: from the host", "probe write into the rootfs: done",
        "probe write beside it: Read-only file system",
        "probe write into the read-only volume: Read-only file system"})
    EXPECT_THAT(console, Contains(line));
  EXPECT_EQ(read_file(folder_ + "/rootfs/answer"), "from the guest");
  const std::string end = run(share.daemon_end());
  EXPECT_THAT(end, testing::HasSubstr("exit code 0")) << "virtiofsd leaves with the VM";
  const auto milliseconds = [](auto d) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
  };
  RecordProperty("prepare_ms", std::to_string(milliseconds(prepared - begin)));
  RecordProperty("start_ms", std::to_string(milliseconds(started - prepared)));
  std::printf("share prepared in %lld ms, VM runs after further %lld ms\n",
              static_cast<long long>(milliseconds(prepared - begin)),
              static_cast<long long>(milliseconds(started - prepared)));
  run(share.release());
  EXPECT_THAT(kernel::mounts_below(folder_), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(config.base + "/sb1"));
}

}  // namespace
}  // namespace kata::share_fs
