"""What a security context and the pod's own settings ask for, row by row, and what becomes of it in a VM."""

import base64
import json
import os
import urllib.request

import cri_harness
import harness
from cri_harness import NODE, POD, Pod, Test, call, tearDownModule  # noqa: F401  (unittest looks for the module's two)
from kata_node import cri, image

# NamespaceMode TARGET and the kinds of a profile.
TARGET = 3
RUNTIME_DEFAULT, UNCONFINED, LOCALHOST = 0, 1, 2

USER_IMAGE, NUMBER_IMAGE = "localhost/kata-user:latest", "localhost/kata-number:latest"


def setUpModule():
    cri_harness.set_up(sandboxer=harness.OPTIONS.sandboxer)
    cri_harness.LAB.import_pod_images(image.build(USER_IMAGE, user="app"), image.build(NUMBER_IMAGE, user="1234:3000"))


def ids(container):
    return tuple(container.shell("id -u; id -g; id -G").split("\n")[:3])


class Users(Test):
    def test_by_name_with_the_groups_of_the_image(self):
        container = Pod(self).sleeper(security={"runAsUsername": "app"})
        self.assertEqual(ids(container), ("1000", "1000", "1000 2000"))

    def test_groups_are_added_to_those_of_the_image(self):
        container = Pod(self).sleeper(security={"runAsUsername": "app", "supplementalGroups": [4000, 5000]})
        self.assertEqual(set(ids(container)[2].split()), {"1000", "2000", "4000", "5000"})

    def test_user_of_the_image(self):
        pod = Pod(self)
        self.assertEqual(ids(pod.sleeper(name="a", picture=USER_IMAGE))[:2], ("1000", "1000"))
        self.assertEqual(ids(pod.sleeper(name="b", picture=NUMBER_IMAGE))[:2], ("1234", "3000"))
        overruled = pod.sleeper(name="c", picture=USER_IMAGE, security={"runAsUser": {"value": 77}, "runAsGroup": {"value": 88}})
        self.assertEqual(ids(overruled)[:2], ("77", "88"))

    def test_an_unknown_name_is_refused(self):
        pod = Pod(self)
        with self.assertRaises(cri.CallFailed) as caught:
            pod.run("true", security={"runAsUsername": "nobody-here"})
        self.assertIn("no users found", str(caught.exception))
        self.assertEqual(pod.sleeper(name="other").shell("echo ok"), "ok\n")

    def test_group_of_the_pod(self):
        # The kubelet gives fsGroup to the runtime as a supplemental group and changes the files itself.
        data = os.path.join(self.folder, "data")
        os.mkdir(data)
        os.chown(data, 0, 6000)
        os.chmod(data, 0o2770)
        mounts = [{"containerPath": "/data", "hostPath": data}]
        container = Pod(self).sleeper(security={"runAsUser": {"value": 1000}, "supplementalGroups": [6000]}, mounts=mounts)
        self.assertEqual(container.shell("echo x > /data/file && stat -c %u:%g /data/file"), "1000:6000\n")
        self.assertEqual(os.stat(os.path.join(data, "file")).st_gid, 6000)

    def test_exec_has_the_user_of_the_container(self):
        container = Pod(self).run("sleep", "10000", security={"runAsUser": {"value": 1000}})
        self.assertEqual(container.shell("id -u; touch /root/x 2>&1 | grep -c denied"), "1000\n1\n")

    def test_oom_score(self):
        container = Pod(self).sleeper(linux={"resources": {"oomScoreAdj": 345}})
        self.assertEqual(container.shell("cat /proc/1/oom_score_adj"), "345\n")


class Rights(Test):
    def _mask(self, container, name="CapEff"):
        return int(container.shell(f"grep {name} /proc/1/status").split()[1], 16)

    def test_add_and_drop(self):
        pod = Pod(self)
        cases = {"a": ({"addCapabilities": ["ALL"]}, lambda m: m & (1 << 21) and m & (1 << 12)),
                 "b": ({"dropCapabilities": ["ALL"]}, lambda m: m == 0),
                 "c": ({"addCapabilities": ["NET_ADMIN"]}, lambda m: m & (1 << 12) and m & 1),
                 "d": ({"dropCapabilities": ["CHOWN"]}, lambda m: not m & 1 and m & (1 << 10)),
                 "e": ({"addCapabilities": ["SYS_ADMIN"], "dropCapabilities": ["ALL"]}, lambda m: m == 1 << 21)}
        for name, (capabilities, holds) in cases.items():
            with self.subTest(name):
                self.assertTrue(holds(self._mask(pod.sleeper(name=name, security={"capabilities": capabilities}))))

    def test_not_privileged_cannot_change_links(self):
        pod = Pod(self)
        self.assertNotEqual(pod.sleeper(name="a").exec("ip", "link", "add", "dummy1", "type", "dummy")[0], 0)
        able = pod.sleeper(name="b", security={"capabilities": {"addCapabilities": ["NET_ADMIN"]}})
        self.assertEqual(able.exec("ip", "link", "set", "lo", "mtu", "65000")[0], 0)

    def test_no_new_privileges(self):
        pod = Pod(self)
        for name, wanted in (("a", True), ("b", False)):
            container = pod.sleeper(name=name, security={"noNewPrivs": wanted, "runAsUser": {"value": 1000}})
            self.assertEqual(container.shell("grep NoNewPrivs /proc/self/status").split()[1], str(int(wanted)))

    @harness.kata_only  # runc here would hand out the devices of the machine that runs the tests
    def test_privileged_is_privileged_in_the_guest_only(self):
        container = Pod(self, security={"privileged": True}).sleeper(security={"privileged": True})
        self.assertEqual(container.exec("sh", "-c", "echo 1 > /proc/sys/vm/drop_caches")[0], 0)
        self.assertEqual(container.exec("sh", "-c", "mkdir /m && mount -t tmpfs none /m && touch /m/x")[0], 0)
        # Nothing of the node: its file systems and processes are not there to be had.
        self.assertNotIn(self.folder, container.shell("cat /proc/mounts"))
        self.assertNotIn("containerd", container.shell("ps"))

    def test_read_only_root_but_volumes(self):
        data = os.path.join(self.folder, "data")
        os.mkdir(data)
        container = Pod(self).sleeper(security={"readonlyRootfs": True}, mounts=[{"containerPath": "/data", "hostPath": data}])
        self.assertNotEqual(container.exec("touch", "/new")[0], 0)
        self.assertEqual(container.exec("touch", "/data/new", "/dev/shm/new")[0], 0)

    def test_masked_and_read_only_paths(self):
        pod = Pod(self)
        masked = pod.sleeper(name="a", security={"maskedPaths": ["/proc/meminfo"], "readonlyPaths": ["/tmp"]})
        self.assertEqual(masked.shell("cat /proc/meminfo | wc -c"), "0\n")
        self.assertNotEqual(masked.exec("touch", "/tmp/x")[0], 0)
        free = pod.sleeper(name="b", security={"maskedPaths": [], "readonlyPaths": []})
        self.assertNotEqual(free.shell("cat /proc/meminfo | wc -c"), "0\n")

    def test_apparmor_unconfined(self):
        container = Pod(self).sleeper(security={"apparmor": {"profileType": UNCONFINED}})
        self.assertEqual(container.shell("echo ok"), "ok\n")


class Seccomp(Test):
    def setUp(self):
        super().setUp()
        self.profile = os.path.join(self.folder, "profile.json")
        with open(self.profile, "w", encoding="ascii") as file:
            json.dump({"defaultAction": "SCMP_ACT_ALLOW",
                       "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}]}, file)

    def _try(self, container):
        return container.exec("sh", "-c", "touch /tmp/x && chmod 600 /tmp/x")

    def test_localhost_profile(self):
        container = Pod(self).sleeper(security={"seccomp": {"profileType": LOCALHOST, "localhostRef": self.profile}})
        code, _, error = self._try(container)
        self.assertNotEqual(code, 0)
        self.assertIn("Operation not permitted", error)

    def test_old_form(self):
        container = Pod(self).sleeper(security={"seccompProfilePath": "localhost/" + self.profile})
        self.assertNotEqual(self._try(container)[0], 0)

    def test_unconfined_and_default(self):
        pod = Pod(self)
        for name, kind, filtered in (("a", UNCONFINED, "0"), ("b", RUNTIME_DEFAULT, "2")):
            container = pod.sleeper(name=name, security={"seccomp": {"profileType": kind}})
            self.assertEqual(container.shell("grep ^Seccomp: /proc/1/status").split()[1], filtered)
            self.assertEqual(self._try(container)[0], 0)

    def test_profile_of_the_pod(self):
        pod = Pod(self, security={"seccomp": {"profileType": LOCALHOST, "localhostRef": self.profile}})
        self.assertEqual(self._try(pod.sleeper())[0], 0)  # the pause container's, not the containers'

    def test_missing_profile_is_refused(self):
        pod = Pod(self)
        with self.assertRaises(cri.CallFailed) as caught:
            pod.run("true", security={"seccomp": {"profileType": LOCALHOST, "localhostRef": "/no/such/profile.json"}})
        self.assertIn("profile.json", str(caught.exception))


class Namespaces(Test):
    def test_ipc_of_the_pod(self):
        pod = Pod(self)
        first, second = pod.sleeper(name="a"), pod.sleeper(name="b")
        look = "readlink /proc/self/ns/ipc"
        self.assertEqual(first.shell(look), second.shell(look))

    def test_network_of_the_pod(self):
        pod = Pod(self)
        server = pod.run("httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/layers", name="a")
        client = pod.sleeper(name="b")
        self.eventually(lambda: "8080" in server.shell("netstat -ltn"), "a listener")
        self.assertEqual(client.shell("wget -q -O - http://127.0.0.1:8080/kept"), "second\n")

    def test_pods_reach_each_other_and_the_node_reaches_them(self):
        server = Pod(self, name="one")
        web = server.run("httpd", "-f", "-p", "8080", "-h", "/layers")
        self.eventually(lambda: "8080" in web.shell("netstat -ltn"), "a listener")
        address = call("PodSandboxStatus", podSandboxId=server.id)["status"]["network"]["ip"]
        client = Pod(self, name="two").sleeper()
        self.assertIn("second\n", client.shell(f"printf 'GET /kept HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {address} 8080"))
        with urllib.request.urlopen(f"http://{address}:8080/kept", timeout=10) as answer:
            self.assertEqual(answer.read(), b"second\n")

    @harness.kata_only  # what the node's namespaces become in a VM: docs/kubernetes
    def test_namespaces_of_the_node_are_the_guests(self):
        pod = Pod(self, network=NODE, pid=NODE, security={"namespaceOptions": {"network": NODE, "pid": NODE, "ipc": NODE}})
        container = pod.sleeper(namespaces={"network": NODE, "pid": NODE, "ipc": NODE})
        self.assertNotIn("containerd", container.shell("ps"))
        for kind in ("pid", "ipc", "net", "uts"):
            self.assertNotEqual(container.shell(f"readlink /proc/self/ns/{kind}").strip(), os.readlink(f"/proc/self/ns/{kind}"))

    def test_debug_container_sees_its_target(self):
        pod = Pod(self)
        target = pod.run("sleep", "4444", name="app")
        seer = pod.sleeper(name="debugger", namespaces={"network": POD, "pid": TARGET, "targetId": target.id})
        self.assertIn("sleep 4444", seer.shell("ps"))
        seer.stop()
        seer.remove()
        self.assertEqual(target.state(), "RUNNING")

    def test_sysctls_of_the_pod(self):
        wanted = {"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "1024\t65000", "fs.mqueue.msg_max": "100"}
        pod = Pod(self, sysctls=wanted)
        for name in ("a", "b"):
            container = pod.sleeper(name=name)
            for key, value in wanted.items():
                self.assertEqual(container.shell("cat /proc/sys/" + key.replace(".", "/")), value + "\n")

    def test_hostname(self):
        self.assertEqual(Pod(self, hostname="a-name").sleeper().shell("hostname"), "a-name\n")


class Counters(Test):
    def test_container_stats_by_filter(self):
        pod = Pod(self)
        first, second = (pod.run("sleep", "10000", name=name, labels={"which": name}) for name in ("a", "b"))
        for wanted, container in (({"labelSelector": {"which": "a"}}, first), ({"id": second.id}, second), ({"podSandboxId": pod.id}, None)):
            listed = {s["attributes"]["id"] for s in call("ListContainerStats", filter=wanted)["stats"]}
            self.assertEqual(listed, {container.id} if container else {first.id, second.id})
        first.shell("dd if=/dev/zero of=/file bs=1024 count=300 2>/dev/null; sync")

    def test_update_resources(self):
        container = Pod(self).sleeper(linux={"resources": {"cpuShares": 1024, "memoryLimitInBytes": 64 << 20}})
        call("UpdateContainerResources", containerId=container.id,
             linux={"cpuPeriod": 10000, "cpuQuota": 5000, "cpuShares": 321, "memoryLimitInBytes": 96 << 20})
        self.assertEqual(container.shell("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true"),
                         f"{96 << 20}\n")
        container.shell("echo ok")


class OneContainer(Test):
    def test_environment_working_folder_and_arguments(self):
        container = Pod(self).run("sh", "-c", "echo $FOO $(pwd) $0 $1; exec sleep 10000", "zero", "one", workingDir="/layers",
                                  envs=[{"key": "FOO", "value": base64.b64encode(b"b a r").decode()}])
        container.wait_log("b a r /layers zero one")

    def test_labels_and_annotations_are_told(self):
        container = Pod(self).run("sleep", "1000", labels={"a": "1"}, annotations={"b": "2"})
        status = container.status()
        self.assertEqual((status["labels"], status["annotations"]), ({"a": "1"}, {"b": "2"}))

    def test_stop_twice_and_start_twice(self):
        container = Pod(self).sleeper()
        with self.assertRaises(cri.CallFailed):
            container.start()
        container.stop()
        container.stop()
        with self.assertRaises(cri.CallFailed):
            container.exec("true")
