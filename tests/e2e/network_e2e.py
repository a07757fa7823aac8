"""The pod's network: a namespace as CNI leaves it goes in, its links are in the guest, nothing is left in it afterwards."""

import ctypes
import json
import os
import socket
import subprocess
import threading
import time

from harness import Test, kata_only
import harness

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def ip(*words, netns=None):
    """Runs ip(8), in the namespace if one is named; returns what -j prints, parsed."""
    command = ["ip", "-j", *(["-n", netns] if netns else []), *words]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=20)
    if result.returncode:
        raise AssertionError(f"{' '.join(command)}: {result.stderr.decode()}")
    return json.loads(result.stdout or b"[]")


class Network(Test):
    """`pod` is the pod's namespace, `far` the one at the other end of its veth."""

    def setUp(self):
        super().setUp()
        self.pod, self.far = f"{self.name}-pod", f"{self.name}-far"
        for namespace in (self.pod, self.far):
            ip("netns", "add", namespace)
            ip("link", "set", "lo", "up", netns=namespace)

    def release(self):
        super().release()
        try:
            if self.pod in {entry["name"] for entry in ip("netns")}:
                self.assertEqual(self._traces(), [], "left in the pod's namespace")
        finally:
            for namespace in (self.pod, self.far):
                subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL, check=False)

    def _traces(self):
        listing = subprocess.run(["ip", "netns", "exec", self.pod, "tc", "qdisc", "show"], stdout=subprocess.PIPE, check=True).stdout.decode()
        taps = [link["ifname"] for link in ip("link", netns=self.pod) if "kata" in link["ifname"]]
        return taps + [line for line in listing.splitlines() if "ingress" in line or "clsact" in line or "tbf" in line]

    def add_veth(self, name="eth0", number=1, mtu=1400):
        """10.77.<number>.2 in the pod, .1 at the far end; IPv6 likewise."""
        ip("link", "add", name, "netns", self.pod, "type", "veth", "peer", "name", f"far{number}", "netns", self.far)
        for namespace, link, last in ((self.pod, name, 2), (self.far, f"far{number}", 1)):
            ip("addr", "add", f"10.77.{number}.{last}/24", "dev", link, netns=namespace)
            ip("addr", "add", f"fd77:{number}::{last}/64", "dev", link, "nodad", netns=namespace)
            ip("link", "set", link, "mtu", str(mtu), "up", netns=namespace)

    def flags(self, *more):
        return ("--with-ns", f"network:/run/netns/{self.pod}", *more)

    def listen(self):
        """A TCP server in the far namespace that sends back what comes, once. Returns its port."""
        server = self.in_far(socket.socket)
        self.addCleanup(server.close)
        server.bind(("", 0))
        server.listen()
        server.settimeout(60)

        def serve():
            try:
                with server.accept()[0] as peer:
                    while data := peer.recv(1 << 16):
                        peer.sendall(data)
            except OSError:
                pass  # the test says what it missed

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        return server.getsockname()[1]

    def in_far(self, function):
        """Calls the function in a thread inside the far namespace: sockets belong to the namespace they were made in."""
        result = []

        def enter():
            with open(f"/run/netns/{self.far}", "rb") as namespace:
                if LIBC.setns(namespace.fileno(), CLONE_NEWNET) == 0:
                    result.append(function())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(20)
        self.assertTrue(result, "nothing came out of the far namespace")
        return result[0]


@kata_only
class PodNetwork(Network):
    def test_link_is_in_the_guest(self):
        self.add_veth()
        ip("route", "add", "default", "via", "10.77.1.1", netns=self.pod)
        ip("route", "add", "10.99.0.0/16", "via", "10.77.1.1", "dev", "eth0", netns=self.pod)
        ip("neigh", "add", "10.77.1.9", "lladdr", "02:00:00:00:00:09", "dev", "eth0", "nud", "permanent", netns=self.pod)
        mac = ip("link", "show", "eth0", netns=self.pod)[0]["address"]
        result = self.expect_run("sh", "-c", "ip addr show eth0; ip route; ip neigh; ping -c1 -W5 10.77.1.1; ping -c1 -W5 fd77:1::1",
                                 flags=self.flags("--rm"))
        for expected in (mac, "mtu 1400", "10.77.1.2/24", "fd77:1::2/64", "default via 10.77.1.1 dev eth0",
                         "10.99.0.0/16 via 10.77.1.1 dev eth0", "10.77.1.9 dev eth0 lladdr 02:00:00:00:00:09"):
            self.assertIn(expected, result.stdout.decode())
        self.assertEqual(result.stdout.count(b" 0% packet loss"), 2, result.stdout)

    def test_tcp_both_ways(self):
        self.add_veth()
        port = self.listen()
        self.start_detached("nc", "-l", "-p", "7", "-e", "cat", flags=self.flags())
        out = self.exec("sh", "-c", f"(echo from the guest; sleep 1) | nc 10.77.1.1 {port}").stdout
        self.assertEqual(out, b"from the guest\n")

        def talk():
            with socket.create_connection(("10.77.1.2", 7), timeout=20) as client:
                client.sendall(b"to the guest\n")
                return client.recv(100)

        self.assertEqual(self.in_far(talk), b"to the guest\n")
        self.assertTrue(self._traces(), "the pod is wired while it runs")

    def test_several_links_two_processors(self):
        self.add_veth("eth0", 1)
        self.add_veth("net1", 2, mtu=1500)
        config = self.config(("hypervisor.qemu", "default_vcpus", 2))
        result = self.expect_run("sh", "-c", "for l in eth0 net1; do ip -o -4 addr show $l; ls /sys/class/net/$l/queues; done; ping -c1 -W5 10.77.2.1",
                                 flags=self.flags("--rm"), config=config)
        text = result.stdout.decode()
        self.assertIn("10.77.1.2/24", text)
        self.assertIn("10.77.2.2/24", text)
        self.assertEqual(text.count("tx-1"), 2, text)
        self.assertIn(" 0% packet loss", text)

    def test_macvtap(self):
        self.add_veth()
        config = self.config(("runtime", "internetworking_model", "macvtap"))
        result = self.run_container("ping", "-c1", "-W5", "10.77.1.1", flags=self.flags("--rm"), config=config)
        self.assertIn(b" 0% packet loss", result.stdout, result.stderr)

    def test_rate_limits(self):
        self.add_veth()
        port = self.listen()
        config = self.config(("hypervisor.qemu", "rx_rate_limiter_max_rate", 400_000_000), ("hypervisor.qemu", "tx_rate_limiter_max_rate", 8_000_000))
        self.start_detached("sleep", "1000", flags=self.flags(), config=config)
        listing = subprocess.run(["ip", "netns", "exec", self.pod, "tc", "qdisc", "show"], stdout=subprocess.PIPE, check=True).stdout.decode()
        self.assertRegex(listing, r"tbf \S+ dev eth0 root .*rate 8Mbit")
        self.assertRegex(listing, r"tbf \S+ dev tap0_kata root .*rate 400Mbit")
        started = time.monotonic()
        self.exec("sh", "-c", f"dd if=/dev/zero bs=1024 count=2000 2>/dev/null | nc 10.77.1.1 {port} | head -c 2048000 | wc -c")
        self.assertGreater(time.monotonic() - started, 1.2)  # 2 MB at 1 MB/s, less what a burst may be

    def test_namespace_without_links(self):
        result = self.expect_run("ls", "/sys/class/net", flags=self.flags("--rm"))
        self.assertEqual(result.stdout.split(), [b"lo"])

    def test_namespace_missing(self):
        flags = ("--rm", "--with-ns", f"network:/run/netns/{self.name}-absent")
        result = self.run_container("true", flags=flags)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(b"network namespace", result.stderr)
        self.assert_usable()

    def test_namespace_removed_while_the_pod_runs(self):
        self.add_veth()
        self.start_detached("sleep", "60", flags=self.flags())
        ip("netns", "del", self.pod)
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name)
        self.wait_status("STOPPED")

    def test_shim_killed(self):
        self.add_veth()
        child = self.start_foreground("sh", "-c", "echo ready; exec sleep 1000", flags=self.flags())
        self.assertTrue(self._traces())
        self.ctr_leaves_fifos = True
        harness.kill_nine(harness.processes_of(self.name)["containerd-shim-kata-v2"])
        self.assertNotEqual(self.finish(child, 20)[0], 0)
        harness.LAB.ctr("task", "rm", "-f", self.name)
        self.wait_until(lambda: not harness.processes_of(self.name), "delete has ended")
        self.assertEqual(self._traces(), [], "what a killed shim leaves, delete takes away")


@kata_only
class DirectNetwork(Network):
    """dan_conf: the pod's NICs are what a file says, whatever lies in its namespace."""

    def describe(self, **device):
        """Writes the file of this test's sandbox; returns the configuration that names its folder."""
        path = os.path.join(self.folder, "dans")
        os.makedirs(path, exist_ok=True)
        device = {"type": "host-tap", "tap_name": "dan0", **device}
        info = {"interface": {"ip_addresses": ["10.78.1.2/24"], "mtu": 1400}, "routes": [{"dest": "10.99.0.0/16", "gateway": "10.78.1.1"}],
                "neighbors": [{"ip_address": "10.78.1.9", "hardware_addr": "02:00:00:00:00:09"}]}
        network = {"netns": f"/run/netns/{self.far}", "devices": [{"name": "data0", "guest_mac": "02:00:00:00:78:02", "device": device,
                                                                   "network_info": info}]}
        with open(os.path.join(path, self.name + ".json"), "w", encoding="utf-8") as file:
            json.dump(network, file)
        return self.config(("runtime", "dan_conf", path))

    def test_tap_of_the_node(self):
        self.add_veth()  # not for this pod
        ip("tuntap", "add", "dan0", "mode", "tap", netns=self.far)
        ip("addr", "add", "10.78.1.1/24", "dev", "dan0", netns=self.far)
        ip("link", "set", "dan0", "up", netns=self.far)
        result = self.expect_run("sh", "-c", "ping -c1 -W5 10.78.1.1; ip -o addr show; ip link show data0; ip route; ip neigh",
                                 flags=self.flags("--rm"), config=self.describe())
        text = result.stdout.decode()
        for words in (" 0% packet loss", "data0    inet 10.78.1.2/24", "mtu 1400", "02:00:00:00:78:02", "10.99.0.0/16 via 10.78.1.1 dev data0",
                      "10.78.1.9 dev data0 lladdr 02:00:00:00:00:09"):
            self.assertIn(words, text)
        self.assertNotIn("10.77.1.2", text)
        self.assertIn("dan0", {link["ifname"] for link in ip("link", netns=self.far)})

    def test_what_cannot_be_attached(self):
        for device, words in (({}, f"device data0: there is no tap dan0 in the network namespace /run/netns/{self.far}"),
                              ({"type": "vhost-user"}, r"devices\[0\].device.type vhost-user is not supported"),
                              ({"tap_name": "lo"}, "lo in the network namespace .* is no tap")):
            with self.subTest(words):
                result = self.run_container("true", flags=self.flags("--rm"), config=self.describe(**device))
                self.assertNotEqual(result.returncode, 0)
                self.assertRegex(result.stderr.decode(), words)
        self.assert_usable()


@kata_only
class RunningPod(Network):
    """The namespace changes while the VM runs."""

    def guest(self, script):
        return self.exec("sh", "-c", script).stdout.decode()

    def reaches(self, number):
        return " 0% packet loss" in self.guest(f"ping -c1 -W2 10.77.{number}.1; true")

    def test_network_that_comes_late(self):
        # As Docker does it: the namespace is filled after the container was made.
        self.start_detached("sleep", "1000", flags=self.flags())
        self.assertEqual(self.guest("ls /sys/class/net").split(), ["lo"])
        self.add_veth()
        ip("route", "add", "default", "via", "10.77.1.1", netns=self.pod)
        self.wait_until(lambda: "10.77.1.2/24" in self.guest("ip addr show eth0 2>&1; true"), "the link in the guest")
        self.wait_until(lambda: "default via 10.77.1.1" in self.guest("ip route"), "its route")
        self.assertIn("mtu 1400", self.guest("ip link show eth0"))
        self.assertTrue(self.reaches(1))

    def test_links_come_and_go(self):
        self.add_veth()
        self.start_detached("sleep", "1000", flags=self.flags())
        for _ in range(2):  # the place is free again afterwards
            self.add_veth("net1", 2)
            self.wait_until(lambda: "10.77.2.2/24" in self.guest("ip addr show net1 2>&1; true"), "the second link")
            self.assertTrue(self.reaches(2))
            ip("link", "del", "net1", netns=self.pod)
            self.wait_until(lambda: "net1" not in self.guest("ls /sys/class/net"), "the second link gone")
        self.assertTrue(self.reaches(1))

    def test_addresses_change(self):
        self.add_veth()
        self.start_detached("sleep", "1000", flags=self.flags())
        ip("addr", "add", "10.77.1.7/24", "dev", "eth0", netns=self.pod)
        self.wait_until(lambda: "10.77.1.7/24" in self.guest("ip addr show eth0"), "the new address")
        ip("addr", "del", "10.77.1.7/24", "dev", "eth0", netns=self.pod)
        self.wait_until(lambda: "10.77.1.7/24" not in self.guest("ip addr show eth0"), "the old address gone")
        self.assertTrue(self.reaches(1))

    def test_more_links_than_there_are_places(self):
        self.start_detached("sleep", "1000", flags=self.flags())
        for number in range(1, 4):
            self.add_veth(f"net{number}", number)
        self.wait_until(lambda: self.guest("ls /sys/class/net").count("net") == 2, "as many as there are places")
        self.assertTrue(self.reaches(1))

    def test_removed_while_links_are_added(self):
        self.start_detached("sleep", "1000", flags=self.flags())
        self.add_veth()
        harness.LAB.ctr("task", "kill", "-s", "KILL", self.name)
        self.wait_status("STOPPED")


@kata_only
class OddNetworks(Network):
    def test_link_of_an_unknown_kind(self):
        self.add_veth()
        ip("link", "add", "odd0", "netns", self.pod, "type", "bridge")
        ip("addr", "add", "10.80.0.2/24", "dev", "odd0", netns=self.pod)
        ip("link", "set", "odd0", "up", netns=self.pod)
        result = self.expect_run("ls", "/sys/class/net", flags=self.flags("--rm"))
        self.assertEqual(sorted(result.stdout.split()), [b"eth0", b"lo"])

    def test_two_links_with_one_address(self):
        for number, name in ((1, "eth0"), (2, "net1")):
            self.add_veth(name, number)
            ip("link", "set", name, "address", "02:00:00:00:00:11", netns=self.pod)
        result = self.run_container("ip", "-o", "-4", "addr", flags=self.flags("--rm"))
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(b"02:00:00:00:00:11", result.stderr)
        self.assertIn(b"net1", result.stderr)
        self.assert_usable()

    def test_many_routes(self):
        self.add_veth()
        batch = "".join(f"route add 10.100.{number}.0/24 via 10.77.1.1 dev eth0\n" for number in range(250))
        batch += "".join(f"route add fd99:{number:x}::/64 via fd77:1::1 dev eth0\n" for number in range(50))
        subprocess.run(["ip", "-n", self.pod, "-batch", "-"], input=batch.encode(), check=True)
        result = self.expect_run("sh", "-c", "ip route | grep -c 10.100; ip -6 route | grep -c fd99", flags=self.flags("--rm"))
        self.assertEqual(result.stdout, b"250\n50\n")

    def test_routes_without_a_link(self):
        self.add_veth()
        ip("route", "add", "blackhole", "10.66.0.0/16", netns=self.pod)
        ip("route", "add", "unreachable", "10.67.0.0/16", netns=self.pod)
        result = self.expect_run("sh", "-c", "ping -c1 -W5 10.77.1.1", flags=self.flags("--rm"))
        self.assertIn(b" 0% packet loss", result.stdout)

    def test_largest_and_smallest_frames(self):
        self.add_veth("eth0", 1, mtu=65535)
        self.add_veth("net1", 2, mtu=1280)
        result = self.expect_run("sh", "-c", "cat /sys/class/net/eth0/mtu /sys/class/net/net1/mtu; ping -s 20000 -c1 -W5 10.77.1.1",
                                 flags=self.flags("--rm"))
        self.assertIn(b"65521\n1280\n", result.stdout)  # what a tap carries
        self.assertIn(b" 0% packet loss", result.stdout)

    def test_address_family_that_the_guest_lacks(self):
        self.add_veth()
        config = self.config(("hypervisor.qemu", "kernel_params", "ipv6.disable=1"))
        result = self.expect_run("sh", "-c", "ip -o addr show eth0; ping -c1 -W5 10.77.1.1", flags=self.flags("--rm"), config=config)
        self.assertIn(b"10.77.1.2/24", result.stdout)
        self.assertNotIn(b"inet6", result.stdout)
        self.assertIn(b" 0% packet loss", result.stdout)
