"""The management socket of a running pod: metrics, and what operators ask of the guest."""

import json
import os
import urllib.parse

from harness import Test, kata_only


@kata_only
class Management(Test):
    def test_management_socket(self):
        folder = os.path.join(self.folder, "volume")
        os.mkdir(folder)
        self.start_detached("sleep", "1000", flags=("--mount", f"type=bind,src={folder},dst=/data,options=rbind:rw"))
        with self.subTest("metrics"):
            status, text = self.ask_shim("GET", "/metrics")
            self.assertEqual(status, 200)
            for line in ('kata_shim_rpc_durations_histogram_milliseconds_count{action="create"} 1\n',
                         'kata_shim_agent_rpc_durations_histogram_milliseconds_count{action="create_container"} 1\n',
                         "kata_hypervisor_threads ", "kata_shim_fds ", "kata_guest_"):
                self.assertIn(line, text)
        with self.subTest("a volume by its path on the node"):
            status, text = self.ask_shim("GET", "/direct-volume/stats?path=" + urllib.parse.quote(folder, safe=""))
            self.assertEqual(status, 200, text)
            self.assertGreater(json.loads(text)["usage"][0]["total"], 0)
        rows = [("GET", "/direct-volume/stats?path=/no/such/path", "", (404, 400)),
                ("GET", "/direct-volume/stats?path=/a/../b", "", (400,)),
                ("POST", "/direct-volume/resize", '{"volume_guest_path": "/proc", "size": 1}', (400, 404, 409, 501)),
                ("POST", "/direct-volume/resize", "{" * 5000, (400,)),
                # The demo guest has no packet filter and no policy; whatever it says, it is said and soon.
                ("GET", "/iptables", "", (200, 404, 501)), ("PUT", "/policy", "package p", (200, 501)),
                ("GET", "/nothing", "", (404,)), ("DELETE", "/metrics", "", (405,))]
        for method, target, body, wanted in rows:
            with self.subTest(f"{method} {target}"):
                status, text = self.ask_shim(method, target, body)
                self.assertIn(status, wanted, text)
        self.assertEqual(self.exec("echo", "here").stdout, b"here\n")
