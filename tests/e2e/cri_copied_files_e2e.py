"""Pods whose guests have no shared file system (shared_fs = "none"), with root file systems on disks."""

import os

import cri_harness
import harness
from copied_files_e2e import NO_SHARE, write
from cri_harness import Pod, Test, tearDownModule  # noqa: F401  (unittest looks for the module's two)


def setUpModule():
    if harness.OPTIONS.runtime != harness.KATA or not harness.OPTIONS.containerd.startswith("2"):
        raise cri_harness.unittest.SkipTest("only containerd 2.3 has pods on disks: --containerd 2.3")
    cri_harness.set_up(sandboxer=harness.OPTIONS.sandboxer, snapshotter="blockfile", changes=[NO_SHARE])


class CopiedFiles(Test):
    def descriptors(self):
        """How many files the pod's shim has open."""
        shim = harness.processes_of(self.ids[0])["containerd-shim-kata-v2"][0]
        return len(os.listdir(f"/proc/{shim}/fd"))

    def test_volumes_of_a_pod(self):
        """What a kubelet gives a container: small files, a ConfigMap that is updated, an emptyDir that outlives an init container, a termination message."""
        volumes = os.path.join(self.folder, "volumes")
        config_map, empty_dir = volumes + "/kubernetes.io~configmap/map", volumes + "/kubernetes.io~empty-dir/work"
        last_words = os.path.join(self.folder, "last-words")
        os.makedirs(config_map + "/..1")
        os.makedirs(empty_dir)
        write(config_map + "/..1/key", "first")
        os.symlink("..1", config_map + "/..data")
        os.symlink("..data/key", config_map + "/key")
        write(last_words, "")
        pod = Pod(self)
        work = {"containerPath": "/work", "hostPath": empty_dir}
        first = pod.run("sh", "-c", "echo made by init > /work/made; echo -n goodbye > /dev/termination-log; exit 7", name="init",
                        mounts=[work, {"containerPath": "/dev/termination-log", "hostPath": last_words}])
        self.assertEqual(first.finished(), 7)
        with open(last_words, encoding="ascii") as file:
            self.assertEqual(file.read(), "goodbye")
        first.remove()
        mounts = [work, {"containerPath": "/map", "hostPath": config_map, "readonly": True}]
        main = pod.sleeper(mounts=mounts)
        self.assertEqual(main.shell("cat /work/made /map/key; grep -c localhost /etc/hosts | grep -v ^0 | wc -l; cat /etc/hostname; grep nameserver /etc/resolv.conf; "
                                    "df -k /dev/shm | tail -1 | awk '{print $2}'"),
                         "made by init\nfirst1\npodhost\nnameserver 192.0.2.53\n65536\n")
        before = self.descriptors()
        second = pod.sleeper(name="second", mounts=mounts)
        os.mkdir(config_map + "/..2")
        write(config_map + "/..2/key", "second")
        os.symlink("..2", config_map + "/..tmp")
        os.rename(config_map + "/..tmp", config_map + "/..data")
        for container in (main, second):
            self.eventually(lambda: container.shell("cat /map/key") == "second", "the new ConfigMap", 2)  # noqa: B023  (called at once)
        second.stop()
        second.remove()
        self.assertEqual(main.shell("cat /map/key"), "second")
        self.eventually(lambda: self.descriptors() <= before, "the second container's files are closed")
