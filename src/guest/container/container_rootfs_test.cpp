// What a container sees of files: mounts, devices, masks.
#include <filesystem>
#include <fstream>
#include <sys/mount.h>

#include "guest/container/testing/box.h"
#include "lib/linux/mount.h"

namespace fs = std::filesystem;

namespace kata::container {
namespace {

class RootfsTest : public BoxTest {
 protected:
  // A folder beside the rootfs with a file in it.
  std::string outside() const {
    const std::string path = folder() + "/outside";
    fs::create_directories(path + "/sub");
    std::ofstream(path + "/file") << "content\n";
    return path;
  }
  static oci::Mount mount(std::string destination, std::string type, std::string source,
                          std::vector<std::string> options) {
    return {.destination = std::move(destination),
            .source = std::move(source),
            .type = std::move(type),
            .options = std::move(options),
            .uid_mappings = {},
            .gid_mappings = {}};
  }
  std::string output_with(oci::Mount extra, const std::string& script) {
    auto launch = shell(script);
    launch.spec.mounts.push_back(std::move(extra));
    const Output output = run_container(std::move(launch));
    return output.out + output.err;
  }
};

TEST_F(RootfsTest, RootIsTheRootfs) {
  write("/mark", "here\n");
  const Output output =
      run_container(shell("cat /mark; ls / | wc -l; ls /proc/self/root/../mark; cat /proc/mounts | wc -l"));
  EXPECT_TRUE(output.out.starts_with("here\n")) << output.err;
  // Nothing of the machine's mounts is to be seen.
  EXPECT_EQ(run_container(shell("grep -c -v -E ' (/|/(proc|dev|sys|run).*) ' /proc/mounts")).out, "0\n");
}

TEST_F(RootfsTest, ReadOnlyRoot) {
  auto launch = shell("touch /x || echo refused; touch /run/x && echo run");
  launch.spec.root.emplace().readonly = true;
  const Output output = run_container(launch);
  EXPECT_EQ(output.out, "refused\nrun\n");
  EXPECT_NE(output.err.find("Read-only"), std::string::npos);
}

TEST_F(RootfsTest, MaskedAndReadOnlyPaths) {
  write("/secret", "secret\n");
  fs::create_directories(rootfs() + "/hidden");
  write("/hidden/file", "x");
  auto launch = shell(
      "cat /secret; echo -; ls /hidden | wc -l; touch /hidden/new || echo masked; cat /proc/kcore | wc -c;"
      "touch /etc/new || echo readonly; echo 1 > /proc/sys/kernel/msgmax || echo sys; cat /proc/timer_list | "
      "wc -c");
  launch.spec.linux_config->masked_paths.insert(launch.spec.linux_config->masked_paths.end(),
                                                {"/secret", "/hidden", "/not/there"});
  launch.spec.linux_config->readonly_paths.insert(launch.spec.linux_config->readonly_paths.end(),
                                                  {"/etc", "/not/there"});
  EXPECT_EQ(run_container(launch).out, "-\n0\nmasked\n0\nreadonly\nsys\n0\n");
}

TEST_F(RootfsTest, BindMounts) {
  EXPECT_EQ(output_with(mount("/data", "bind", outside(), {"rbind", "rw"}),
                        "cat /data/file; touch /data/new && ls /data"),
            "content\nfile\nnew\nsub\n");
  EXPECT_EQ(output_with(mount("/data", "bind", outside(), {"bind", "ro"}),
                        "touch /data/new2 2>/dev/null || echo refused"),
            "refused\n");
  EXPECT_EQ(output_with(mount("/etc/one", "bind", outside() + "/file", {"bind", "ro"}),
                        "cat /etc/one; echo x 2>/dev/null > /etc/one || echo no"),
            "content\nno\n")
      << "a file";
  EXPECT_EQ(output_with(mount("/deep/er/still", "none", outside(), {"rbind"}), "cat /deep/er/still/file"),
            "content\n");
  EXPECT_EQ(
      output_with(mount("/flags", "bind", outside(), {"bind", "nosuid", "noexec", "nodev", "noatime"}),
                  "grep /flags /proc/mounts | sed 's/.*rw,/rw,/' | grep -o -E 'nosuid,nodev,noexec,noatime'"),
      "nosuid,nodev,noexec,noatime\n");
}

TEST_F(RootfsTest, RecursiveReadOnly) {
  const std::string source = outside();
  auto launch =
      shell("touch /data/sub/x 2>/dev/null || echo refused; touch /data/x 2>/dev/null || echo refused");
  launch.spec.mounts.push_back(mount("/sub-mount", "tmpfs", "tmpfs", {}));
  // A tree with a mount below: the first bind brings it, the second makes it read-only as a whole.
  launch.spec.mounts.push_back(mount("/data", "bind", source, {"rbind", "rro"}));
  EXPECT_EQ(run_container(launch).out, "refused\nrefused\n");
}

TEST_F(RootfsTest, TargetsStayInside) {
  const std::string source = outside();
  fs::create_directories(folder() + "/escape");
  fs::create_symlink(folder() + "/escape", rootfs() + "/absolute");
  fs::create_symlink("../../../../../../.." + folder() + "/escape", rootfs() + "/relative");
  fs::create_symlink("/made/by/link", rootfs() + "/dangling");
  for (const char* target : {"/absolute/a", "/relative/b", "/dangling", "/dangling/c", "/../../../../up"}) {
    EXPECT_EQ(output_with(mount(target, "bind", source, {"bind"}), std::string("cat ") + target + "/file"),
              "content\n")
        << target;
  }
  EXPECT_TRUE(fs::is_empty(folder() + "/escape"));
  EXPECT_TRUE(fs::exists(rootfs() + "/made/by/link"));
  EXPECT_FALSE(fs::exists("/made"));
}

TEST_F(RootfsTest, LinkedProcIsRefused) {
  fs::remove(rootfs() + "/proc");
  fs::create_symlink("/tmp", rootfs() + "/proc");
  EXPECT_NE(create_error(shell("true")).find("symbolic link"), std::string::npos);
}

TEST_F(RootfsTest, TmpfsCopyUp) {
  fs::create_directories(rootfs() + "/keep/sub");
  write("/keep/file", "kept\n", 0640);
  write("/keep/sub/deep", "deep\n");
  fs::create_symlink("file", rootfs() + "/keep/link");
  EXPECT_EQ(output_with(mount("/keep", "tmpfs", "tmpfs", {"tmpcopyup", "nosuid"}),
                        "cat /keep/link /keep/sub/deep; stat -c %a /keep/file; echo changed > /keep/file; "
                        "grep -c ' /keep tmpfs' /proc/mounts"),
            "kept\ndeep\n640\n1\n");
  std::ifstream file(rootfs() + "/keep/file");
  std::string text;
  std::getline(file, text);
  EXPECT_EQ(text, "kept");
  EXPECT_EQ(output_with(mount("/keep", "tmpfs", "tmpfs", {"tmpcopyup", "ro"}),
                        "cat /keep/file; touch /keep/x 2>/dev/null || echo ro"),
            "kept\nro\n");
}

TEST_F(RootfsTest, MountErrorsNameTheMount) {
  const struct {
    oci::Mount mount;
    const char* what;
    Code code;
  } rows[] = {
      {mount("/x", "bind", "/no/such/source", {"bind"}), "bind-mounting /no/such/source on /x",
       Code::kNotFound},
      {mount("/x", "nofs", "none", {}), "mounting none (nofs) on /x", Code::kInternal},
      {mount("/x", "tmpfs", "tmpfs", {"size=nonsense"}), "mounting tmpfs (tmpfs) on /x",
       Code::kInvalidArgument},
      {mount("", "tmpfs", "tmpfs", {}), "no destination", Code::kInvalidArgument},
      {mount("/", "tmpfs", "tmpfs", {}), "would hide", Code::kInvalidArgument},
      {mount("/x", "", "tmpfs", {}), "no type", Code::kInvalidArgument},
      {mount("/x", "bind", "relative", {"bind"}), "no absolute source", Code::kInvalidArgument},
      {mount("/bin/busybox/x", "tmpfs", "tmpfs", {}), "/bin/busybox/x", Code::kInvalidArgument},
  };
  for (const auto& row : rows) {
    auto launch = shell("true");
    launch.spec.mounts.push_back(row.mount);
    Code code{};
    const std::string message = create_error(launch, &code);
    EXPECT_NE(message.find(row.what), std::string::npos) << message;
    EXPECT_EQ(code, row.code) << message;
  }
}

TEST_F(RootfsTest, MissingRootfs) {
  auto launch = shell("true");
  launch.rootfs = folder() + "/none";
  Code code{};
  EXPECT_NE(create_error(launch, &code).find(folder() + "/none"), std::string::npos);
  EXPECT_EQ(code, Code::kNotFound);
}

TEST_F(RootfsTest, DevicesAndLinks) {
  auto launch = shell(
      "for d in null zero full random urandom tty; do stat -c '%n %a %t:%T' /dev/$d; done;"
      "for l in ptmx fd stdin; do readlink /dev/$l; done;"
      "echo x > /dev/null && head -c 3 /dev/zero | wc -c; stat -c '%n %a %u:%g %t:%T %F' /dev/extra "
      "/dev/pipe");
  launch.spec.linux_config->devices = {
      {.path = "/dev/extra", .type = "c", .major = 1, .minor = 5, .file_mode = 0640, .uid = 3, .gid = 4},
      {.path = "/dev/pipe", .type = "p", .major = 0, .minor = 0, .file_mode = 0600, .uid = {}, .gid = {}}};
  const Output output = run_container(launch);
  EXPECT_EQ(
      output.out,
      "/dev/null 666 1:3\n/dev/zero 666 1:5\n/dev/full 666 1:7\n/dev/random 666 1:8\n/dev/urandom 666 1:9\n"
      "/dev/tty 666 5:0\npts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n3\n"
      "/dev/extra 640 3:4 1:5 character special file\n/dev/pipe 600 0:0 0:0 fifo\n")
      << output.err;
}

TEST_F(RootfsTest, ReadOnlyDev) {
  auto launch = shell("touch /dev/x 2>/dev/null || echo refused; echo y > /dev/null && echo fine");
  for (oci::Mount& entry : launch.spec.mounts) {
    if (entry.destination == "/dev") entry.options.emplace_back("ro");
  }
  EXPECT_EQ(run_container(launch).out, "refused\nfine\n");
}

TEST_F(RootfsTest, WorkingDirectoryIsMade) {
  auto launch = shell("pwd");
  launch.spec.process->cwd = "/not/yet/there";
  EXPECT_EQ(run_container(launch).out, "/not/yet/there\n");
  launch.spec.process->cwd = "/bin/busybox";
  EXPECT_NE(create_error(launch).find("chdir to cwd (\"/bin/busybox\")"), std::string::npos);
}

TEST_F(RootfsTest, CgroupMount) {
  const std::string out = output_with(
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}),
      "cat /sys/fs/cgroup/pids/tasks | head -1; touch "
      "/sys/fs/cgroup/x 2>/dev/null || echo ro");
  EXPECT_EQ(out, "1\nro\n");
}

TEST_F(RootfsTest, PropagationWords) {
  const std::string source = outside();
  const char* script =
      "grep ' /data ' /proc/self/mountinfo | sed 's/.* - .*//; s/.*rw,[a-z]* //' | wc -l; grep -E ' /data .* "
      "shared:[0-9]+ ' /proc/self/mountinfo | wc -l";
  EXPECT_EQ(output_with(mount("/data", "bind", source, {"rbind", "rprivate"}), script), "1\n0\n");
  EXPECT_EQ(output_with(mount("/data", "bind", source, {"rbind", "rshared"}), script), "1\n1\n");
  for (const char* word : {"rslave", "rshared", "rprivate", "private", "slave", "shared"}) {
    auto launch = shell("echo up");
    launch.spec.linux_config->rootfs_propagation = word;
    EXPECT_EQ(run_container(launch).out, "up\n") << word;
  }
}

// A mount made inside of a volume that is shared both ways is seen by the agent.
TEST_F(RootfsTest, SharedVolumeWorksBothWays) {
  const std::string source = outside();
  kernel::mount("tmpfs", source, "tmpfs", 0, "");
  kernel::set_propagation(source, MS_SHARED);
  fs::create_directories(source + "/sub");
  auto launch = shell("mount -t tmpfs none /data/sub && touch /data/sub/inside && echo mounted; read line");
  for (auto* set :
       {&launch.spec.process->capabilities->bounding, &launch.spec.process->capabilities->effective,
        &launch.spec.process->capabilities->permitted})
    set->emplace_back("CAP_SYS_ADMIN");
  launch.spec.linux_config->rootfs_propagation = "rshared";
  launch.spec.mounts.push_back(mount("/data", "bind", source, {"rbind", "rshared"}));
  auto body = [](const cgroup::Hierarchy& where, LaunchSpec spec, std::string file) -> Awaitable<bool> {
    const auto box = co_await Container::create(where, std::move(spec));
    co_await box->start();
    EXPECT_EQ(co_await box->init()->read_stdout(100), "mounted\n");
    const bool seen = fs::exists(file);
    co_await box->destroy();
    co_return seen;
  };
  EXPECT_TRUE(drive(body(hierarchy(), std::move(launch), source + "/sub/inside")));
  for (const std::string& path : kernel::mounts_below(source)) kernel::unmount_detach(path);
}

}  // namespace
}  // namespace kata::container
