#include "host/resource/share_fs/share_fs.h"

#include <csignal>
#include <cstring>
#include <filesystem>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <gmock/gmock.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "host/resource/share_fs/share_test_folder.h"
#include "lib/async/deadline.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"

namespace kata::share_fs {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class ShareFsTest : public ShareTest {
 protected:
  ShareFsConfig config() {
    ShareFsConfig result;
    result.sandbox_id = "sb1";
    result.run_dir = folder_;
    result.base = folder_ + "/base";
    return result;
  }
  // A program that answers --version and then does as the body says.
  std::string script(const std::string& version, const std::string& body) {
    const std::string path = folder_ + "/virtiofsd";
    write_file(path,
               "#!/bin/sh\n[ \"$1\" = --version ] && { echo \"" + version + "\"; exit 0; }\n" + body + "\n");
    ::chmod(path.c_str(), 0755);
    return path;
  }
  [[nodiscard]] SharedPath hosts(ShareTree::Access access) const {
    return {
        .source = folder_ + "/hosts", .access = access, .container_id = "c1", .destination = "/etc/hosts"};
  }
  template <typename T>
  T run(Awaitable<T> task) {
    auto limited = with_deadline(std::move(task), std::chrono::seconds(20), "a step of the test");
    auto future = asio::co_spawn(context_, std::move(limited), asio::use_future);
    context_.restart();
    while (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready && context_.run_one() != 0) {
    }
    return future.get();
  }
  std::string failure_of(Awaitable<> task) {
    try {
      run(std::move(task));
    } catch (const Error& error) {
      return error.message();
    }
    return {};
  }
  void expect_nothing_left() {
    EXPECT_THAT(kernel::mounts_below(folder_), IsEmpty());
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/virtiofsd.sock"));
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/base/sb1"));
  }

  asio::io_context context_;
};

bool can_connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

TEST_F(ShareFsTest, TheInstalledVirtiofsdServesAndGoes) {
  try {
    find_virtiofsd("", virtiofsd_places());
  } catch (const Error& error) {
    GTEST_SKIP() << error.message();
  }
  for (const bool connected : {true, false}) {
    SCOPED_TRACE(connected ? "a VM came and went" : "no VM ever came");
    ShareFs share(context_.get_executor(), config());
    run(share.prepare());
    ASSERT_GT(share.pid(), 0);
    EXPECT_EQ(share.spec()->socket, folder_ + "/virtiofsd.sock");
    if (connected) EXPECT_TRUE(can_connect(share.spec()->socket));
    run(share.release());
    // The C one has a child in a pid namespace; both are in the session that we gave it.
    EXPECT_NE(::kill(-share.pid(), 0), 0);
    run(share.release());
    expect_nothing_left();
  }
}

TEST_F(ShareFsTest, ADeadVirtiofsdIsReportedWithItsLastWords) {
  ShareFsConfig settings = config();
  settings.daemon = script("virtiofsd 1.13.2", "echo cannot do it >&2; exit 3");
  ShareFs share(context_.get_executor(), settings);
  run(share.prepare());
  EXPECT_EQ(run(share.daemon_end()), "virtiofsd ended with exit code 3: cannot do it");
  EXPECT_FALSE(can_connect(share.spec()->socket)) << "nobody waits for a dead daemon";
  run(share.release());
  expect_nothing_left();
}

TEST_F(ShareFsTest, AStubbornVirtiofsdIsKilled) {
  ShareFsConfig settings = config();
  settings.daemon = script("virtiofsd 1.13.2", "trap '' TERM; while :; do sleep 1; done");
  ShareFs share(context_.get_executor(), settings);
  run(share.prepare());
  run(share.release());
  EXPECT_THAT(run(share.daemon_end()), HasSubstr("signal 9"));
  expect_nothing_left();
}

TEST_F(ShareFsTest, FailedPreparationLeavesNothing) {
  struct Row {
    const char* name;
    std::function<void(ShareFsConfig&)> change;
    const char* message;
  };
  const std::vector<Row> rows = {
      {"missing", [](ShareFsConfig& c) { c.daemon = "/nonexistent/v"; }, "hypervisor.qemu.virtio_fs_daemon"},
      {"found nowhere", [](ShareFsConfig& c) { c.daemon_places = {"/nonexistent/v"}; }, "/nonexistent/v"},
      {"another program", [this](ShareFsConfig& c) { c.daemon = script("nydusd 2", "exit 0"); },
       "is no virtiofsd"},
      {"sandbox mount missing",
       [this](ShareFsConfig& c) {
         c.daemon = script("virtiofsd 1.13.2", "exec sleep 60");
         c.sandbox_mounts = {{.source = folder_, .access = ShareTree::Access::kReadOnly},
                             {.source = "/nonexistent/m", .access = ShareTree::Access::kReadOnly}};
       },
       "sandbox_bind_mounts: copying the mount of /nonexistent/m: No such file"},
      {"long socket path",
       [](ShareFsConfig& c) {
         c.run_dir = "/tmp/" + std::string(120, 'x');
         c.daemon = "/bin/true";
       },
       "longer than"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ShareFsConfig settings = config();
    row.change(settings);
    ShareFs share(context_.get_executor(), settings);
    EXPECT_THAT(failure_of(share.prepare()), HasSubstr(row.message));
    expect_nothing_left();
  }
}

TEST_F(ShareFsTest, SandboxMountsAreThereFromTheBeginning) {
  ShareFsConfig settings = config();
  settings.daemon = script("virtiofsd 1.13.2", "exec sleep 60");
  write_file(folder_ + "/one", "1");
  std::filesystem::create_directory(folder_ + "/many");
  write_file(folder_ + "/many/two", "2");
  settings.sandbox_mounts = {{.source = folder_ + "/one", .access = ShareTree::Access::kReadOnly},
                             {.source = folder_ + "/many", .access = ShareTree::Access::kReadWrite}};
  ShareFs share(context_.get_executor(), settings);
  run(share.prepare());
  const std::string seen = folder_ + "/base/sb1/ro/passthrough/sandbox-mounts";
  EXPECT_EQ(read_file(seen + "/one") + read_file(seen + "/many/two"), "12");
  EXPECT_THROW(write_existing(seen + "/one", "x"), Error);
  write_existing(seen + "/many/two", "x");
  run(share.release());
  expect_nothing_left();
  EXPECT_EQ(read_file(folder_ + "/one") + read_file(folder_ + "/many/two"), "1x");
}

TEST_F(ShareFsTest, PathsAreCountedAndNamedForTheGuest) {
  ShareFsConfig settings = config();
  settings.daemon = script("virtiofsd 1.13.2", "exec sleep 60");
  ShareFs share(context_.get_executor(), settings);
  run(share.prepare());
  write_file(folder_ + "/hosts", "127.0.0.1 localhost");
  std::filesystem::create_directory(folder_ + "/bundle-rootfs");
  EXPECT_EQ(share.share_rootfs("c1", folder_ + "/bundle-rootfs"),
            "/run/kata-containers/shared/containers/passthrough/c1/rootfs");
  EXPECT_THROW(share.share_rootfs("../c1", folder_), Error);
  const std::string first = run(share.share_path(hosts(ShareTree::Access::kReadOnly))).value();
  EXPECT_THAT(first, StartsWith("/run/kata-containers/shared/containers/passthrough/sandbox-"));
  EXPECT_THAT(first, testing::EndsWith("-hosts"));
  EXPECT_EQ(run(share.share_path(hosts(ShareTree::Access::kReadOnly))), first);
  EXPECT_NE(run(share.share_path(hosts(ShareTree::Access::kReadWrite))), first);
  const std::string host = folder_ + "/base/sb1/ro/passthrough/" + first.substr(first.rfind("sandbox-"));
  EXPECT_EQ(read_file(host), "127.0.0.1 localhost");
  run(share.unshare_path(first));
  EXPECT_TRUE(std::filesystem::exists(host));
  run(share.unshare_path(first));
  EXPECT_FALSE(std::filesystem::exists(host));
  share.unshare_rootfs("c1");
  run(share.release());
  expect_nothing_left();
}

TEST_F(ShareFsTest, ALostSandboxIsCleanedByItsId) {
  {
    ShareTree tree(folder_ + "/base", "sb1");
    tree.create();
    std::filesystem::create_directory(folder_ + "/rootfs");
    tree.bind(folder_ + "/rootfs", "c1/rootfs", ShareTree::Access::kReadWrite);
  }
  Teardown teardown("test", nullptr);
  ShareFs::clean_up("sb1", teardown, folder_ + "/base");
  ShareFs::clean_up("sb1", teardown, folder_ + "/base");
  ShareFs::clean_up("never-there", teardown, folder_ + "/base");
  EXPECT_THAT(teardown.failures(), IsEmpty());
  expect_nothing_left();
}

}  // namespace
}  // namespace kata::share_fs
