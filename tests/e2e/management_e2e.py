"""The management socket of a running pod: metrics, and what operators ask of the guest."""

import json
import os
import socket
import urllib.parse

from harness import Test, kata_only


@kata_only
class Management(Test):
    def ask(self, method, target, body=""):
        """Returns (status, body)."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(15)
            client.connect(f"/run/kata/{self.name}/shim-monitor.sock")
            client.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            answer = b""
            while piece := client.recv(65536):
                answer += piece
        head, _, text = answer.decode(errors="replace").partition("\r\n\r\n")
        return int(head.split()[1]), text

    def test_management_socket(self):
        folder = os.path.join(self.folder, "volume")
        os.mkdir(folder)
        self.start_detached("sleep", "1000", flags=("--mount", f"type=bind,src={folder},dst=/data,options=rbind:rw"))
        with self.subTest("metrics"):
            status, text = self.ask("GET", "/metrics")
            self.assertEqual(status, 200)
            for line in ('kata_shim_rpc_durations_histogram_milliseconds_count{action="create"} 1\n',
                         'kata_shim_agent_rpc_durations_histogram_milliseconds_count{action="create_container"} 1\n',
                         "kata_hypervisor_threads ", "kata_shim_fds ", "kata_guest_"):
                self.assertIn(line, text)
        with self.subTest("a volume by its path on the node"):
            status, text = self.ask("GET", "/direct-volume/stats?path=" + urllib.parse.quote(folder, safe=""))
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
                status, text = self.ask(method, target, body)
                self.assertIn(status, wanted, text)
        self.assertEqual(self.exec("echo", "here").stdout, b"here\n")
