"""Pods as a kubelet makes them, through containerd's CRI."""

import json
import os
import time

import cri_harness
import harness
from cri_harness import NODE, POD, Pod, Test, call, handler, setUpModule, tearDownModule  # noqa: F401  (unittest looks for the module's two)
from kata_node import cri

kata_only = harness.kata_only


class Life(Test):
    def test_pod_with_two_containers(self):
        pod = Pod(self)
        self.assertEqual(pod.state(), "READY")
        first = pod.run("sh", "-c", "echo from first; echo to stderr >&2; exec sleep 10000", name="first")
        second = pod.run("sh", "-c", "echo from second; exec sleep 10000", name="second")
        first.wait_log("from first")
        second.wait_log("from second")
        self.eventually(lambda: ("stderr", "to stderr") in first.log(), "stderr in the log")
        self.assertEqual([c.state() for c in (first, second)], ["RUNNING", "RUNNING"])
        self.assertEqual(first.exec("sh", "-c", "echo out; echo err >&2; exit 7"), (7, "out\n", "err\n"))
        self.assertEqual({c["id"] for c in call("ListContainers")["containers"]}, {first.id, second.id})
        self.assertEqual([p["id"] for p in call("ListPodSandbox")["items"]], [pod.id])
        if handler() == "kata":
            self.assertEqual({name: len(pids) for name, pids in pod.processes().items() if "qemu" in name or "shim" in name},
                             {"qemu-system-x86_64": 1, "containerd-shim-kata-v2": 1})
        first.stop()
        self.assertEqual((first.state(), first.status()["exitCode"]), ("EXITED", 137))
        self.assertEqual(second.state(), "RUNNING")
        first.remove()
        self.assertEqual(second.shell("echo still here"), "still here\n")
        pod.stop()
        pod.stop()
        self.assertEqual((pod.state(), second.state()), ("NOTREADY", "EXITED"))
        pod.remove()
        pod.remove()
        self.assertEqual(call("ListContainers")["containers"], [])

    def test_exit_codes_and_restart_of_a_container(self):
        pod = Pod(self)
        keeper = pod.sleeper(name="keeper")
        for attempt, code in enumerate((3, 0, 255)):
            container = pod.run("sh", "-c", f"exit {code}", name="again", attempt=attempt)
            self.assertEqual(container.finished(), code)
            container.remove()
        self.assertEqual(keeper.state(), "RUNNING")

    def test_init_containers_in_order(self):
        pod = Pod(self)
        share = os.path.join(self.folder, "share")
        os.mkdir(share)
        mount = {"containerPath": "/share", "hostPath": share}
        for number in (1, 2):
            self.assertEqual(pod.run("sh", "-c", f"echo {number} >> /share/order", name=f"init{number}", mounts=[mount]).finished(), 0)
        self.assertEqual(pod.sleeper(mounts=[mount]).shell("cat /share/order"), "1\n2\n")

    def test_remove_a_pod_that_runs(self):
        pod = Pod(self)
        pod.sleeper()
        pod.stop()
        pod.remove()

    @staticmethod
    def _no_pod_left():
        cri_harness.remove_all()  # it may have become one before the end of its client was heard of
        return not cri_harness.shims()

    def test_given_up_while_it_starts(self):
        # Whoever asked for the pod goes away in the middle of it.
        for seconds in (0.05, 0.5, 1.2):
            with self.subTest(seconds), cri_harness.other_client() as other:
                config = {"metadata": {"name": f"late-{seconds}", "uid": "u", "namespace": "default"}, "logDirectory": self.folder}
                other.process.stdin.write("RunPodSandbox " + json.dumps({"config": config, "runtimeHandler": cri_harness.handler()}) + "\n")
                other.process.stdin.flush()
                time.sleep(seconds)
                other.process.kill()
                self.eventually(self._no_pod_left, "no shim is left", 15)
        self.assertEqual(Pod(self).sleeper().shell("echo ok"), "ok\n")
        self.eventually(lambda: len(cri_harness.shims()) == 1, "this pod's shim only", 15)

    def test_remove_a_container_that_runs(self):
        pod = Pod(self)
        container = pod.sleeper()
        container.remove()
        self.assertEqual(call("ListContainers")["containers"], [])
        self.assertEqual(pod.sleeper(attempt=1).shell("echo ok"), "ok\n")

    def test_container_never_started(self):
        pod = Pod(self)
        pod.create("true", name="idle")
        pod.sleeper(name="other")
        pod.stop()
        pod.remove()

    def test_command_not_found_leaves_the_pod_usable(self):
        pod = Pod(self)
        with self.assertRaises(cri.CallFailed) as caught:
            pod.run("/no/such/program", name="wrong")
        self.assertIn("/no/such/program", str(caught.exception))
        self.assertEqual(pod.sleeper(name="right").shell("echo ok"), "ok\n")

    def test_containerd_restarted(self):
        pod = Pod(self)
        container = pod.run("sh", "-c", "while :; do echo tick; sleep 0.2; done")
        container.wait_log("tick")
        self._restart()
        self.assertEqual((pod.state(), container.state()), ("READY", "RUNNING"))
        before = len(container.log())
        self.eventually(lambda: len(container.log()) > before + 2, "output after the restart")
        self.assertEqual(container.shell("echo alive"), "alive\n")
        self.assertEqual(pod.sleeper(name="late").shell("echo new"), "new\n")
        container.stop()
        pod.stop()
        pod.remove()

    def _restart(self):
        cri_harness.LAB.restart()
        self.eventually(self._answers, "CRI after the restart")

    def test_containerd_restarted_at_each_point(self):
        pod = Pod(self)
        self._restart()
        self.assertEqual(pod.state(), "READY")
        container = pod.create("sleep", "1000", name="created")
        self._restart()
        container.start()
        ended = pod.run("sh", "-c", "exit 4", name="ended")
        self.assertEqual(ended.finished(), 4)
        self._restart()
        self.assertEqual((container.state(), ended.state(), ended.status()["exitCode"]), ("RUNNING", "EXITED", 4))
        self.assertEqual({c["id"] for c in call("ListContainers")["containers"]}, {container.id, ended.id})
        pod.stop()
        self._restart()
        self.assertEqual(pod.state(), "NOTREADY")
        pod.remove()
        self.assertEqual(call("ListPodSandbox")["items"], [])

    def test_removed_without_being_stopped(self):
        pod = Pod(self)
        pod.sleeper()
        pod.remove()
        self.assertEqual(call("ListPodSandbox")["items"], [])

    @staticmethod
    def _answers():
        try:
            return call("Version")
        except cri.CallFailed:
            return False

    @kata_only
    def test_vmm_killed(self):
        pod = Pod(self)
        container = pod.sleeper()
        harness.kill_nine(pod.processes()["qemu-system-x86_64"])
        self.assertEqual(container.finished(), 255)
        self.eventually(lambda: pod.state() == "NOTREADY", "pod not ready")
        pod.stop()
        pod.remove()

    @kata_only
    def test_shim_killed(self):
        pod = Pod(self)
        container = pod.sleeper()
        harness.kill_nine(pod.processes()["containerd-shim-kata-v2"])
        container.finished()
        self.eventually(lambda: pod.state() == "NOTREADY", "pod not ready")

    def test_thirty_containers(self):
        pod = Pod(self)
        containers = [pod.sleeper(name=f"c{number}") for number in range(30)]
        self.assertEqual([c.shell("hostname") for c in containers], ["podhost\n"] * 30)


class Streams(Test):
    def test_exec_time_out(self):
        container = Pod(self).sleeper()
        started = time.monotonic()
        with self.assertRaises(cri.CallFailed) as caught:
            container.exec("sleep", "1000", seconds=1)
        self.assertEqual(caught.exception.code, "DeadlineExceeded")
        self.assertLess(time.monotonic() - started, 10)
        self.assertEqual(container.shell("echo ok"), "ok\n")

    def test_log_reopened(self):
        pod = Pod(self)
        container = pod.run("sh", "-c", "while :; do echo tick; sleep 0.1; done")
        container.wait_log("tick")
        path = os.path.join(pod.logs, "main.log")
        os.rename(path, path + ".1")
        call("ReopenContainerLog", containerId=container.id)
        container.wait_log("tick")

    def test_terminal(self):
        pod = Pod(self)
        container = pod.run("sh", "-c", "tty; test -t 0 && echo terminal; exec sleep 10000", tty=True, stdin=True)
        self.eventually(lambda: any("terminal" in line for _, line in container.log()), "output of a terminal")


class Files(Test):
    def test_files_of_the_pod(self):
        container = Pod(self, hostname="named").sleeper()
        self.assertEqual(container.shell("hostname; cat /etc/hostname"), "named\nnamed\n")
        self.assertIn("nameserver 192.0.2.53", container.shell("cat /etc/resolv.conf"))
        self.assertIn("options ndots:3", container.shell("cat /etc/resolv.conf"))
        self.assertIn("localhost", container.shell("cat /etc/hosts"))

    def test_many_name_servers(self):
        servers = [f"192.0.2.{number}" for number in range(1, 101)]
        container = Pod(self, config={"dnsConfig": {"servers": servers, "searches": [], "options": []}}).sleeper()
        self.assertEqual(container.shell("grep -c nameserver /etc/resolv.conf; tail -1 /etc/resolv.conf"), "100\nnameserver 192.0.2.100\n")

    def test_host_network_has_the_hosts_name(self):
        container = Pod(self, network=NODE).sleeper()
        self.assertEqual(container.shell("hostname"), os.uname().nodename + "\n")

    def test_volumes(self):
        data, token, end = (os.path.join(self.folder, name) for name in ("data", "token", "termination-log"))
        os.mkdir(data)
        for path, text in ((token, "secret\n"), (end, ""), (os.path.join(data, "given"), "1\n")):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        mounts = [{"containerPath": "/data", "hostPath": data}, {"containerPath": "/ro", "hostPath": data, "readonly": True},
                  {"containerPath": "/var/run/token", "hostPath": token, "readonly": True},
                  {"containerPath": "/dev/termination-log", "hostPath": end}]
        container = Pod(self).sleeper(mounts=mounts)
        self.assertEqual(container.shell("cat /data/given /ro/given /var/run/token"), "1\n1\nsecret\n")
        container.shell("echo written > /data/new; echo the end > /dev/termination-log")
        with open(os.path.join(data, "new"), encoding="ascii") as file:
            self.assertEqual(file.read(), "written\n")
        with open(end, encoding="ascii") as file:
            self.assertEqual(file.read(), "the end\n")
        for path in ("/ro/other", "/var/run/token"):
            code, _, error = container.exec("sh", "-c", f"echo x > {path}")
            self.assertNotEqual(code, 0)
            self.assertIn("Read-only file system", error)

    def test_projected_volume_changes_are_seen(self):
        # As the kubelet's atomic writer does it: a link to a folder of the current version, swapped by rename.
        volume = os.path.join(self.folder, "kubernetes.io~projected", "config")
        os.makedirs(volume)
        self._publish(volume, "v1")
        os.symlink("..data/key", os.path.join(volume, "key"))
        container = Pod(self).sleeper(mounts=[{"containerPath": "/config", "hostPath": volume, "readonly": True}])
        self.assertEqual(container.shell("cat /config/key"), "v1")
        self._publish(volume, "v2")
        self.eventually(lambda: container.shell("cat /config/key") == "v2", "the new version in the container", 2)

    @staticmethod
    def _publish(volume, text):
        folder = os.path.join(volume, f"..{text}")
        os.mkdir(folder)
        with open(os.path.join(folder, "key"), "w", encoding="ascii") as file:
            file.write(text)
        os.symlink(f"..{text}", os.path.join(volume, "..data_tmp"))
        os.rename(os.path.join(volume, "..data_tmp"), os.path.join(volume, "..data"))

    def test_shared_memory_of_the_pod(self):
        pod = Pod(self)
        first, second = pod.sleeper(name="a"), pod.sleeper(name="b")
        first.shell("echo shared > /dev/shm/note")
        self.assertEqual(second.shell("cat /dev/shm/note"), "shared\n")
        self.assertIn("65536", second.shell("df -k /dev/shm"))

    def test_own_file_system(self):
        pod = Pod(self)
        first, second = pod.sleeper(name="a"), pod.sleeper(name="b")
        first.shell("echo mine > /root/note")
        self.assertEqual(second.exec("cat", "/root/note")[0], 1)


class Namespaces(Test):
    def test_processes_of_others_are_hidden(self):
        pod = Pod(self)
        pod.run("sleep", "4444", name="a")
        self.assertNotIn("4444", pod.sleeper(name="b").shell("ps"))

    def test_shared_process_namespace(self):
        pod = Pod(self, pid=POD)
        other = pod.run("sleep", "4444", name="a")
        seer = pod.sleeper(name="b")
        listing = seer.shell("ps")
        self.assertIn("sleep 4444", listing)
        # The pause container reaps for all; with the Sandbox API there is none, and the guest has a holder of its own.
        self.assertRegex(listing, r"(?m)^ *1 .*(sleep 2147483647|kata-agent pause)")
        other.stop()
        other.remove()
        again = pod.run("sleep", "5555", name="a", attempt=1)
        self.assertIn("sleep 5555", seer.shell("ps"))
        self.assertIn("sleep 10000", again.shell("ps"))


class Security(Test):
    def test_user_and_groups(self):
        security = {"runAsUser": {"value": 1000}, "runAsGroup": {"value": 3000}, "supplementalGroups": [4000, 5000]}
        container = Pod(self).sleeper(security=security)
        self.assertEqual(container.shell("id -u; id -g"), "1000\n3000\n")
        self.assertTrue({"4000", "5000"} <= set(container.shell("id -G").split()))

    def test_read_only_root(self):
        container = Pod(self).sleeper(security={"readonlyRootfs": True})
        self.assertIn("Read-only file system", container.exec("touch", "/new")[2])

    def test_capabilities(self):
        pod = Pod(self)
        default = int(pod.sleeper(name="a").shell("grep CapEff /proc/1/status").split()[1], 16)
        dropped = pod.sleeper(name="b", security={"capabilities": {"dropCapabilities": ["ALL"], "addCapabilities": ["NET_ADMIN"]}})
        self.assertEqual(int(dropped.shell("grep CapEff /proc/1/status").split()[1], 16), 1 << 12)
        self.assertEqual(default & (1 << 21), 0)  # CAP_SYS_ADMIN

    def test_no_new_privileges_and_seccomp(self):
        pod = Pod(self)
        container = pod.sleeper(name="a", security={"noNewPrivs": True, "seccomp": {"profileType": 0}})
        self.assertEqual(container.shell("grep -E '^(NoNewPrivs|Seccomp):' /proc/1/status").split(), ["NoNewPrivs:", "1", "Seccomp:", "2"])
        free = pod.sleeper(name="b", security={"seccomp": {"profileType": 1}})
        self.assertEqual(free.shell("grep -E '^Seccomp:' /proc/1/status").split(), ["Seccomp:", "0"])

    def test_masked_paths(self):
        pod = Pod(self)
        masked = pod.sleeper(name="a", security={"maskedPaths": ["/proc/timer_list", "/layers"], "readonlyPaths": ["/proc/sys"]})
        self.assertEqual(masked.shell("cat /proc/timer_list | wc -c; ls /layers"), "0\n")
        self.assertNotEqual(masked.exec("sh", "-c", "echo 1 > /proc/sys/kernel/panic")[0], 0)

    @kata_only  # runc here would hand out the devices of the machine that runs the tests
    def test_privileged(self):
        container = Pod(self, security={"privileged": True}).sleeper(security={"privileged": True})
        self.assertNotEqual(int(container.shell("grep CapEff /proc/1/status").split()[1], 16) & (1 << 21), 0)
        container.shell("mkdir /m && mount -t tmpfs none /m")

    def test_sysctls(self):
        container = Pod(self, sysctls={"kernel.shm_rmid_forced": "1", "net.ipv4.ip_forward": "1"}).sleeper()
        self.assertEqual(container.shell("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_forward"), "1\n1\n")


class Counters(Test):
    def test_container_stats(self):
        container = Pod(self).run("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; exec sleep 10000")
        container.wait_log("done", 60)
        stats = container.stats()
        self.assertGreater(int(stats["cpu"]["usageCoreNanoSeconds"]["value"]), 1_000_000)
        self.assertGreater(int(stats["memory"]["workingSetBytes"]["value"]), 4096)
        self.assertEqual(len(call("ListContainerStats")["stats"]), 1)

    def test_limits_reach_the_container(self):
        resources = {"memoryLimitInBytes": 64 << 20, "cpuQuota": 50000, "cpuPeriod": 100000}
        container = Pod(self).sleeper(linux={"resources": resources})
        limit = container.shell("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true")
        self.assertEqual(limit, f"{64 << 20}\n")
        call("UpdateContainerResources", containerId=container.id, linux={"memoryLimitInBytes": 80 << 20})
        limit = container.shell("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true")
        self.assertEqual(limit, f"{80 << 20}\n")
