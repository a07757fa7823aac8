"""Files of pods: volumes as a kubelet makes them, links that lie, limits, propagation. All in mode virtio-fs."""

import json
import os
import socket
import subprocess

import cri_harness
import harness
from cri_harness import Pod, Test, call, setUpModule, tearDownModule  # noqa: F401  (unittest looks for the module's two)
from kata_node import cri

PRIVATE, HOST_TO_CONTAINER, BIDIRECTIONAL = 0, 1, 2


class Volumes(Test):
    def setUp(self):
        super().setUp()
        self.mounted = []

    def release(self):
        super().release()
        for path in reversed(self.mounted):
            subprocess.run(["umount", "-R", "-l", path], check=False)

    def mount(self, *words):
        """mount(8); ends with the test. The last word is the place."""
        subprocess.run(["mount", *words], check=True)
        self.mounted.append(words[-1])

    def place(self, name, *files):
        """A folder of the test with small files that hold their own names."""
        path = os.path.join(self.folder, name)
        os.makedirs(path)
        for file in files:
            self.write(os.path.join(path, file), file)
        return path

    @staticmethod
    def write(path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as file:
            return file.read()


class Links(Volumes):
    def test_links_of_a_volume_resolve_inside_the_container(self):
        volume = self.place("volume", "real")
        secret = os.path.join(self.place("host", "secret"), "secret")
        for name, target in (("absolute", secret), ("up", "../" * 40 + secret.lstrip("/")), ("passwd", "/etc/passwd"), ("good", "real"),
                             ("proc", "/proc/1/root" + secret), ("folder", os.path.dirname(secret)), ("loop", "loop")):
            os.symlink(target, os.path.join(volume, name))
        container = Pod(self).sleeper(mounts=[{"containerPath": "/v", "hostPath": volume}])
        self.assertEqual(container.shell("cat /v/good"), "real")
        self.assertIn("app:x:1000", container.shell("cat /v/passwd"))  # the container's, not the node's
        for name in ("absolute", "up", "proc", "folder/secret", "loop"):
            self.assertNotEqual(container.exec("cat", "/v/" + name)[0], 0, name)
        # A link that the container makes is only text on the node.
        container.shell("ln -s /etc/shadow /v/made; ln -s ../../../../../../etc /v/etc; ls -l /v/made")
        self.assertEqual(os.readlink(os.path.join(volume, "made")), "/etc/shadow")
        self.assertNotEqual(container.exec("sh", "-c", "echo x > /v/absolute")[0], 0)
        self.assertEqual(self.read(secret), "secret")

    def test_mount_point_that_is_a_link_in_the_volume(self):
        # The second volume's place is a link to the node's own folder, laid by whoever wrote the first one.
        outside = self.place("outside", "kept")
        first, second = self.place("first", "a"), self.place("second", "b")
        os.symlink(outside, os.path.join(first, "sub"))
        pod = Pod(self)
        mounts = [{"containerPath": "/v", "hostPath": first}, {"containerPath": "/v/sub", "hostPath": second}]
        try:
            container = pod.sleeper(mounts=mounts)
        except cri.CallFailed:
            pass  # refused is as good
        else:
            self.assertNotIn("kept", container.shell("ls -R /v"))
        self.assertEqual(os.listdir(outside), ["kept"])

    def test_source_that_is_a_link(self):
        real = self.place("real", "file")
        link = os.path.join(self.folder, "link")
        os.symlink(real, link)
        container = Pod(self).sleeper(mounts=[{"containerPath": "/v", "hostPath": link}])
        self.assertEqual(container.shell("cat /v/file"), "file")

    def test_special_names(self):
        names = ["with space", "quote'\"", "new\nline", "comma,colon:", "-dash", "é"]
        volume = self.place("a folder, with: odd 'names'", *names)
        container = Pod(self).sleeper(mounts=[{"containerPath": "/v", "hostPath": volume}])
        self.assertEqual(container.shell("ls /v | wc -l"), f"{len(names)}\n")
        for name in names:
            self.assertEqual(container.exec("cat", "/v/" + name)[1], name)

    @harness.kata_only
    def test_nothing_else_of_the_node_is_in_the_guest(self):
        volume = self.place("volume", "file")
        self.place("other", "hidden")
        container = Pod(self, security={"privileged": True}).sleeper(security={"privileged": True},
                                                                    mounts=[{"containerPath": "/v", "hostPath": volume}])
        self.assertEqual(container.shell("find / -xdev -name hidden 2>/dev/null; ls -a /v/.. | grep -c other; true"), "0\n")


class Kubelet(Volumes):
    def test_sub_path(self):
        # The kubelet resolves the path and binds the result: the runtime gets a file or a folder.
        volume = self.place("volume/deep", "file")
        mounts = [{"containerPath": "/folder", "hostPath": volume}, {"containerPath": "/etc/one.conf", "hostPath": volume + "/file"}]
        container = Pod(self).sleeper(mounts=mounts)
        self.assertEqual(container.shell("cat /folder/file /etc/one.conf"), "filefile")
        container.shell("echo -n new > /etc/one.conf")
        self.assertEqual(self.read(volume + "/file"), "new")

    def test_file_replaced_by_rename_stays_the_old_one_in_its_bind(self):
        volume = self.place("volume", "file")
        mounts = [{"containerPath": "/v", "hostPath": volume}]
        container = Pod(self).sleeper(mounts=mounts)
        self.assertEqual(container.shell("cat /v/file"), "file")
        self.write(volume + "/new", "replaced")
        os.rename(volume + "/new", volume + "/file")
        self.eventually(lambda: container.shell("cat /v/file") == "replaced", "the new file", 2)

    def test_changes_are_seen_both_ways(self):
        volume = self.place("volume", "file", "gone")
        container = Pod(self).sleeper(mounts=[{"containerPath": "/v", "hostPath": volume}])
        self.assertEqual(container.shell("ls /v"), "file\ngone\n")
        self.write(volume + "/file", "longer than before")
        os.unlink(volume + "/gone")
        self.write(volume + "/added", "x")
        self.eventually(lambda: container.shell("cat /v/file; ls /v") == "longer than beforeadded\nfile\n", "the node's changes", 2)
        container.shell("mkdir /v/sub; mv /v/file /v/sub/moved; chmod 600 /v/sub/moved; rm /v/added")
        self.assertEqual((os.listdir(volume), os.stat(volume + "/sub/moved").st_mode & 0o777), (["sub"], 0o600))

    def test_a_config_map_of_many_files(self):
        volume = self.place("volume", *(f"key{number}" for number in range(10000)))
        container = Pod(self).sleeper(mounts=[{"containerPath": "/v", "hostPath": volume, "readonly": True}])
        self.assertEqual(container.shell("ls /v | wc -l; cat /v/key9999", seconds=60), "10000\nkey9999")

    def test_memory_volume_and_its_limit(self):
        # The kubelet mounts a tmpfs of the wanted size on the node.
        volume = self.place("volume")
        self.mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", volume)
        pod = Pod(self)
        container = pod.sleeper(mounts=[{"containerPath": "/v", "hostPath": volume}])
        code, _, error = container.exec("sh", "-c", "dd if=/dev/zero of=/v/big bs=65536 count=64")
        self.assertNotEqual(code, 0)
        self.assertIn("No space left", error)
        # Nothing else is hurt.
        self.assertEqual(container.shell("rm /v/big && echo ok > /v/small && cat /v/small; echo y > /other"), "ok\n")
        self.assertEqual(pod.sleeper(name="b").shell("echo fine"), "fine\n")
        container.stop()
        pod.stop()
        pod.remove()

    def test_devices_and_sockets(self):
        path = os.path.join(self.folder, "socket")
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(path)
        server.listen()
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        pod = Pod(self)
        container = pod.sleeper(mounts=[{"containerPath": "/s", "hostPath": path}, {"containerPath": "/f", "hostPath": fifo},
                                        {"containerPath": "/dev/mynull", "hostPath": "/dev/null"}])
        self.assertEqual(container.shell("test -S /s && test -p /f && test -c /dev/mynull && echo x > /dev/mynull && echo ok"), "ok\n")
        if harness.OPTIONS.runtime == harness.KATA:
            self.eventually(lambda: f"{path} is a socket" in cri_harness.LAB.log_tail(200), "the warning that nobody can connect", 3)

    def test_shared_memory_and_its_users(self):
        pod = Pod(self)
        first = pod.sleeper(name="a", security={"runAsUser": {"value": 1000}})
        first.shell("echo note > /dev/shm/x")
        self.assertEqual(first.shell("stat -c %a /dev/shm; df -k /dev/shm | tail -1 | awk '{print $2}'"), "1777\n65536\n")
        code, _, error = first.exec("sh", "-c", "dd if=/dev/zero of=/dev/shm/big bs=1048576 count=70")
        self.assertNotEqual(code, 0)
        self.assertIn("No space left", error)


@harness.kata_only
class SharedMounts(Volumes):
    def test_a_container_gets_a_mount_of_another(self):
        volume = self.place("volume", "file")
        wanted = [{"name": "n", "src_ctr": "first", "src_path": "/v", "dst_ctr": "second", "dst_path": "/home"}]
        pod = Pod(self, annotations={"io.katacontainers.config.runtime.shared_mounts": json.dumps(wanted)})
        pod.sleeper(name="first", mounts=[{"containerPath": "/v", "hostPath": volume}])
        self.assertEqual(pod.sleeper(name="second").shell("cat /home/file; echo -n new > /home/file"), "file")
        self.assertEqual(self.read(volume + "/file"), "new")
        self.assertEqual(pod.sleeper(name="third").shell("ls /home"), "app\n")


class Mounts(Volumes):
    def test_read_only(self):
        volume = self.place("volume", "file")
        container = Pod(self).sleeper(mounts=[{"containerPath": "/v", "hostPath": volume, "readonly": True}])
        for attempt in ("echo x > /v/file", "touch /v/new", "rm /v/file", "mkdir /v/d", "chmod 777 /v/file", "ln -s a /v/l"):
            code, _, error = container.exec("sh", "-c", attempt)
            self.assertNotEqual(code, 0, attempt)
            self.assertIn("Read-only file system", error, attempt)

    @harness.kata_only
    def test_read_only_holds_against_root_in_the_guest(self):
        volume = self.place("volume", "file")
        pod = Pod(self, security={"privileged": True})
        container = pod.sleeper(security={"privileged": True}, mounts=[{"containerPath": "/v", "hostPath": volume, "readonly": True}])
        container.exec("mount", "-o", "remount,rw", "/v")
        container.exec("sh", "-c", "echo broken > /v/file")
        self.assertEqual(self.read(volume + "/file"), "file")

    def test_mount_below_a_mount(self):
        outer, inner = self.place("outer", "a"), self.place("inner", "b")
        os.mkdir(outer + "/sub")
        mounts = [{"containerPath": "/v", "hostPath": outer, "readonly": True}, {"containerPath": "/v/sub", "hostPath": inner}]
        container = Pod(self).sleeper(mounts=mounts)
        self.assertEqual(container.shell("cat /v/a /v/sub/b; echo w > /v/sub/new"), "ab")

    def test_missing_source_is_made_by_containerd_or_refused(self):
        pod = Pod(self)
        missing = os.path.join(self.folder, "missing")
        try:
            container = pod.sleeper(mounts=[{"containerPath": "/v", "hostPath": missing}])
            self.assertEqual(container.shell("ls /v"), "")
        except cri.CallFailed as failure:
            self.assertIn(missing, str(failure))

    def test_mounts_of_the_node_come_along(self):
        volume = self.place("volume")
        os.mkdir(volume + "/sub")
        self.mount("-t", "tmpfs", "tmpfs", volume + "/sub")
        self.write(volume + "/sub/file", "inner")
        container = Pod(self).sleeper(mounts=[{"containerPath": "/v", "hostPath": volume}])
        self.assertEqual(container.shell("cat /v/sub/file"), "inner")

    def test_volume_mounted_after_the_start_of_the_pod(self):
        """What the node mounts later is there too, even where its "/" passes nothing on (a container host in a container)."""
        pod = Pod(self)
        volume = self.place("volume")
        self.mount("-t", "tmpfs", "tmpfs", volume)
        self.write(volume + "/file", "late")
        container = pod.sleeper(mounts=[{"containerPath": "/v", "hostPath": volume},
                                        {"containerPath": "/f", "hostPath": volume + "/file", "readonly": True}])
        self.assertEqual(container.shell("cat /v/file /f"), "latelate")

    def test_recursively_read_only(self):
        """The handler's features say that it can, so the pod is taken; then nothing below is writable."""
        if not harness.LAB.version.startswith("2"):
            self.skipTest("only containerd 2.x knows such mounts: --containerd 2.3")
        volume = self.place("volume")
        os.mkdir(volume + "/sub")
        self.mount("-t", "tmpfs", "tmpfs", volume + "/sub")
        mount = {"containerPath": "/v", "hostPath": volume, "readonly": True, "recursiveReadOnly": True, "propagation": PRIVATE}
        container = Pod(self).sleeper(mounts=[mount])
        for attempt in ("touch /v/new", "touch /v/sub/new"):
            self.assertIn("Read-only file system", container.exec("sh", "-c", attempt)[2], attempt)

    def _shared_volume(self):
        volume = self.place("volume")
        os.mkdir(volume + "/late")
        self.mount("--bind", volume, volume)
        subprocess.run(["mount", "--make-rshared", volume], check=True)
        return volume

    def _mount_late(self, volume):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volume + "/late"], check=True)  # ends with its parent
        self.write(volume + "/late/file", "late")

    def test_propagation_from_the_node(self):
        volume = self._shared_volume()
        container = Pod(self).sleeper(mounts=[{"containerPath": "/v", "hostPath": volume, "propagation": HOST_TO_CONTAINER}])
        self.assertEqual(container.shell("ls /v/late"), "")
        self._mount_late(volume)
        self.eventually(lambda: container.exec("cat", "/v/late/file")[1] == "late", "a later mount of the node", 3)
        subprocess.run(["umount", volume + "/late"], check=True)
        self.eventually(lambda: container.shell("ls /v/late") == "", "the end of that mount", 3)

    @harness.kata_only
    def test_propagation_both_ways_stops_at_the_guest(self):
        # From the node as ever; what the container mounts is the guest's, and the node has no such mount.
        volume = self._shared_volume()
        pod = Pod(self, security={"privileged": True})
        container = pod.sleeper(security={"privileged": True}, mounts=[{"containerPath": "/v", "hostPath": volume, "propagation": BIDIRECTIONAL}])
        self.assertEqual(container.exec("mount", "-t", "tmpfs", "inside", "/v/late")[0], 0)
        container.shell("echo x > /v/late/inside && umount /v/late")
        self.assertEqual(os.listdir(volume + "/late"), [])
        self._mount_late(volume)
        self.eventually(lambda: container.exec("cat", "/v/late/file")[1] == "late", "a later mount of the node", 3)
        subprocess.run(["umount", volume + "/late"], check=True)

    def test_no_propagation_to_the_node(self):
        volume = self._shared_volume()
        pod = Pod(self, security={"privileged": True})
        container = pod.sleeper(mounts=[{"containerPath": "/v", "hostPath": volume, "propagation": PRIVATE}],
                                security={"capabilities": {"addCapabilities": ["SYS_ADMIN"]}, "apparmor": {"profileType": 1}})
        self.assertEqual(container.exec("mount", "-t", "tmpfs", "inside", "/v/late")[0], 0)
        container.shell("echo x > /v/late/inside")
        self.assertEqual(os.listdir(volume + "/late"), [])
