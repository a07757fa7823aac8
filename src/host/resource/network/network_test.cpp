// The network of a pod against the real kernel, in namespaces of the test's own. Needs root.
#include "host/resource/network/network.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <sys/mount.h>

#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "lib/async/blocking_pool.h"
#include "lib/async/child_process.h"
#include "lib/fd/io.h"

namespace kata::network {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Output of a shell command; what it prints on stderr is added.
std::string shell(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen((command + " 2>&1").c_str(), "r"), ::pclose);
  std::string text;
  for (int c = 0; (c = std::fgetc(pipe.get())) != EOF;) text.push_back(static_cast<char>(c));
  return text;
}

class NetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (::access("/dev/net/tun", R_OK) != 0) GTEST_SKIP() << "no /dev/net/tun";
    if (shell("ip -V").find("iproute2") == std::string::npos) GTEST_SKIP() << "needs ip";
    name_ = "katanet" + std::to_string(::getpid());
    folder_ = "/tmp/" + name_;
    shell("mkdir -p " + folder_);
    const std::string out = shell("ip netns add " + name_ + " && ip netns add " + name_ + "-far && ip -n " +
                                  name_ + " link add eth0 type veth peer name far0 netns " + name_ + "-far");
    if (!out.empty()) GTEST_SKIP() << out;
    shell("ip -n " + name_ + "-far link set far0 up");
    in("ip link set lo up; ip link set eth0 mtu 1400 up");
    in("ip addr add 10.77.0.2/24 dev eth0; ip addr add fd77::2/64 dev eth0 nodad");
    in("ip route add default via 10.77.0.1; ip route add 10.99.0.0/16 via 10.77.0.1 dev eth0 mtu 1300");
    in("ip neigh add 10.77.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent");
  }
  void TearDown() override {
    if (name_.empty()) return;
    shell("ip netns del " + name_);
    shell("ip netns del " + name_ + "-far");
    shell("rm -rf " + folder_);
  }

  std::string in(const std::string& command) {
    return shell("ip netns exec " + name_ + " sh -c '" + command + "'");
  }
  // What our wiring could have left.
  std::string left() { return in("tc qdisc show | grep -e ingress -e clsact; ip -br link | grep kata"); }

  NetworkConfig config() {
    NetworkConfig config;
    config.netns = "/run/netns/" + name_;
    config.journal = folder_ + "/network";
    return config;
  }

  void run(Awaitable<> work) {
    std::exception_ptr failure;
    asio::io_context io;
    asio::co_spawn(io, std::move(work), [&](std::exception_ptr error) { failure = std::move(error); });
    io.run();
    if (failure) std::rethrow_exception(failure);
  }

  std::string name_, folder_;
};

TEST_F(NetworkTest, TapAndFiltersComeAndGo) {
  NetworkConfig wanted = config();
  wanted.queues = 2;
  Network network(wanted);
  run(network.prepare());
  const auto nics = network.nics();
  ASSERT_EQ(nics.size(), 1U);
  EXPECT_EQ(nics[0].tap_fds.size(), 2U);
  EXPECT_THAT(in("ip link show eth0"), HasSubstr(nics[0].mac));
  EXPECT_THAT(in("ip link show tap0_kata"), HasSubstr("mtu 1400"));
  EXPECT_THAT(in("tc filter show dev eth0 ingress"), HasSubstr("tap0_kata"));
  EXPECT_THAT(in("tc filter show dev tap0_kata ingress"), HasSubstr("eth0"));
  run(network.release());
  EXPECT_EQ(left(), "");
  run(network.release());
}

TEST_F(NetworkTest, MacvtapComesAndGoes) {
  NetworkConfig wanted = config();
  wanted.model = Model::kMacvtap;
  Network network(wanted);
  try {
    run(network.prepare());
  } catch (const Error& error) {
    if (error.errno_value() == EOPNOTSUPP) GTEST_SKIP() << error.message();
    throw;
  }
  ASSERT_EQ(network.nics().size(), 1U);
  EXPECT_THAT(in("ip -d link show tap0_kata"), HasSubstr("macvtap mode passthru"));
  run(network.release());
  EXPECT_EQ(left(), "");
}

TEST_F(NetworkTest, NamespaceGoneBeforeRelease) {
  Network network(config());
  run(network.prepare());
  shell("ip netns del " + name_);
  run(network.release());
}

TEST_F(NetworkTest, AnotherNamespaceAtThePathIsLeftAlone) {
  Network network(config());
  run(network.prepare());
  shell("ip netns del " + name_ + "; ip netns add " + name_);
  in("ip link add eth0 type veth peer name far0; tc qdisc add dev eth0 ingress");
  run(network.release());
  EXPECT_THAT(left(), HasSubstr("ingress"));
}

TEST_F(NetworkTest, CrashIsCleanedUpByTheJournal) {
  {
    Network crashed(config());
    run(crashed.prepare());
  }
  EXPECT_THAT(left(), HasSubstr("ingress"));
  run(run_in_child(
      [journal = config().journal] {
        Teardown teardown(
            "test", [](std::string_view warning) { throw Error(Code::kInternal, std::string(warning)); });
        Network::clean_up(journal, teardown);
        if (!teardown.failures().empty()) throw Error(Code::kInternal, teardown.failures()[0]);
      },
      std::chrono::seconds(5), "cleaning up"));
  EXPECT_EQ(left(), "");
}

TEST_F(NetworkTest, FailureHalfWayLeavesNothing) {
  in("ip link add eth1 type veth peer name far1; ip addr add 10.78.0.2/24 dev eth1; ip link set eth1 up");
  // The second link's tap cannot be made: its name is taken.
  in("ip link add tap1_kata type veth peer name taken");
  Network network(config());
  EXPECT_THROW(run(network.prepare()), Error);
  EXPECT_TRUE(network.nics().empty());
  EXPECT_THAT(in("tc qdisc show"), Not(HasSubstr("ingress")));
  EXPECT_THAT(in("ip -br link"), Not(HasSubstr("tap0_kata")));
}

TEST_F(NetworkTest, PodsWithoutNic) {
  struct Row {
    std::string name, netns;
  };
  shell("ip netns add " + name_ + "-e");
  for (const Row& row : {Row{"no namespace", ""}, Row{"the host's", "/proc/self/ns/net"},
                         Row{"an empty one", "/run/netns/" + name_ + "-e"}}) {
    SCOPED_TRACE(row.name);
    NetworkConfig wanted = config();
    wanted.netns = row.netns;
    Network network(wanted);
    run(network.prepare());
    EXPECT_THAT(network.nics(), IsEmpty());
    run(network.release());
  }
  shell("ip netns del " + name_ + "-e");
}

TEST_F(NetworkTest, BadPaths) {
  NetworkConfig wanted = config();
  wanted.netns = folder_ + "/absent";
  Network absent(wanted);
  try {
    run(absent.prepare());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_THAT(error.message(), HasSubstr("network namespace " + wanted.netns));
  }
  shell("touch " + folder_ + "/file");
  wanted.netns = folder_ + "/file";
  Network file(wanted);
  EXPECT_THROW(run(file.prepare()), Error);
}

// What the kernel told is what the guest will be told.
TEST_F(NetworkTest, PictureOfARealNamespace) {
  Picture picture;
  run([](std::string netns, Picture& out) -> Awaitable<> {
    BlockingPool pool;
    co_await pool.run([&] {
      enter_netns(netns, std::nullopt);
      out = real_net_kernel()->picture();
    });
  }(config().netns, picture));
  const Plan plan = plan_network(picture);
  ASSERT_EQ(plan.endpoints.size(), 1U);
  EXPECT_EQ(plan.endpoints[0].kind, "veth");
  EXPECT_EQ(plan.endpoints[0].interface.mtu, 1400U);
  std::string addresses, routes;
  for (const auto& address : plan.endpoints[0].interface.addresses)
    addresses += address.address + "/" + std::to_string(address.prefix) + " ";
  EXPECT_THAT(addresses, HasSubstr("10.77.0.2/24 "));
  EXPECT_THAT(addresses, HasSubstr("fd77::2/64 "));
  for (const auto& route : plan.routes)
    routes += route.destination + " via " + route.gateway + " mtu " + std::to_string(route.mtu) + "; ";
  EXPECT_THAT(routes, HasSubstr(" via 10.77.0.1 mtu 0; "));
  EXPECT_THAT(routes, HasSubstr("10.99.0.0/16 via 10.77.0.1 mtu 1300; "));
  ASSERT_EQ(plan.neighbours.size(), 1U);
  EXPECT_EQ(plan.neighbours[0].mac, "02:00:00:00:00:01");
}

}  // namespace
}  // namespace kata::network
