"""Where the time of a start goes: one `ctr run` from containerd's call to the first output, as an SVG with a lane per place.

The shim's log has the end and the length of each of its phases; the agent tells by BootTimes when it started, had its modules and
listened, on the guest's clock. The two clocks meet where the shim reaches the agent: that is when the agent listens.
"""

import datetime
import json
import os
import re
import time
from xml.sax.saxutils import escape

from . import pod, ttrpc

LANES = ("containerd", "host", "VMM", "kernel", "agent", "container")
_LANE_OF_PHASE = {"vmm": "VMM"}
_COLOURS = {"containerd": "#8888cc", "host": "#4477aa", "VMM": "#cc6677", "kernel": "#ddaa33", "agent": "#228833", "container": "#aa4499"}
_WHOLE, _GUEST_BOOT = "boot", "guest boot"


class Bar:
    """Seconds since the start of `ctr run`."""

    def __init__(self, lane, text, begin, end):
        self.lane, self.text, self.begin, self.end = lane, text, begin, end


def parse_phases(log, sandbox):
    """[(phase, begin, end)] in seconds of the wall clock, from the shim's log lines of one sandbox."""
    found = []
    for line in log.splitlines():
        at = line.find("{")
        if at < 0 or "phase of the start" not in line:
            continue
        try:
            fields = json.loads(line[at:])
        except ValueError:
            continue
        if fields.get("sandbox") == sandbox:
            end = parse_time(fields["time"])
            found.append((fields["phase"], end - int(fields["us"]) / 1e6, end))
    return found


def parse_time(text):
    """RFC 3339 with up to nine digits of a second → seconds since 1970."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", text)
    if not match:
        raise ValueError(f"not a time stamp: {text}")
    return datetime.datetime.fromisoformat(match[1] + "+00:00").timestamp() + float(match[2] or 0)


def bars(started, shim_started, phases, guest, first):
    """The bars. All but `guest` are wall clock seconds; `guest` is {started, modules, listening} in seconds of the guest's clock."""
    result = [Bar("containerd", "until the shim runs", 0, shim_started - started)]
    boot_end = shim_started
    for phase, begin, end in phases:
        if begin > first:
            continue  # of the end
        boot_end = max(boot_end, end)
        if phase == _WHOLE:
            continue
        if phase != _GUEST_BOOT:
            result.append(Bar(_LANE_OF_PHASE.get(phase, "host"), phase, begin - started, end - started))
            continue
        kernel_started = end - guest["listening"] - started
        vmm_started = min((b for p, b, _ in phases if p == "vmm"), default=begin) - started
        result.append(Bar("VMM", "QEMU and firmware", vmm_started, max(vmm_started, kernel_started)))
        marks = [kernel_started + value for value in (0, guest["started"], guest["modules"], guest["listening"])]
        for lane, text, index in (("kernel", "to /init", 0), ("agent", "modules", 1), ("agent", "listen", 2)):
            result.append(Bar(lane, text, marks[index], marks[index + 1]))
    result.append(Bar("container", "rest, to the first output", boot_end - started, first - started))
    return result


def svg(items, title):
    """Draws the bars, one line each, grouped by lane; a scale in seconds below."""
    width, left, line, top = 1100, 300, 22, 40
    end = max(bar.end for bar in items)
    scale = (width - left - 90) / end
    ordered = sorted(items, key=lambda bar: (LANES.index(bar.lane), bar.begin))
    height = top + line * len(ordered) + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>', f'<text x="10" y="22" font-size="15">{escape(title)}</text>']
    for index, bar in enumerate(ordered):
        y = top + line * index
        x, length = left + bar.begin * scale, max(1.0, (bar.end - bar.begin) * scale)
        out.append(f'<text x="10" y="{y + 14}">{escape(bar.lane)}: {escape(bar.text)}</text>')
        out.append(f'<rect x="{x:.1f}" y="{y + 3}" width="{length:.1f}" height="{line - 6}" fill="{_COLOURS[bar.lane]}"/>')
        out.append(f'<text x="{x + length + 4:.1f}" y="{y + 14}">{(bar.end - bar.begin) * 1000:.0f} ms</text>')
    bottom = top + line * len(ordered) + 6
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 60) if end / step <= 12 or step == 60)
    for number in range(int(end / step) + 1):
        x = left + number * step * scale
        out.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number * step:g} s</text>')
    return "\n".join([*out, "</svg>", ""])


def _process_started(pid):
    """Wall clock seconds, exact to a clock tick."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def draw(subject, path):
    """Runs one container with the phases logged and writes the SVG."""
    name = subject.new_id()
    started = time.time()
    with subject.popen(subject.words(name, "sh", "-c", "echo ready; exec sleep 100000", config=subject.verbose_config())) as child:
        try:
            if child.stdout.readline() != b"ready\n":
                reason = child.communicate(timeout=20)[1].decode(errors="replace").strip()
                raise pod.BenchError(f"the container of the timeline did not start: {reason}")
            first = time.time()
            found = pod.processes_of(name)
            shim_started = _process_started(min(found[pod.SHIM]))
            with ttrpc.Agent(pod.guest_address(name)) as agent:
                stamps = agent.call("BootTimes", service="katacpp.agent.v1.Extra")
        finally:
            subject.lab.ctr("task", "kill", "-s", "KILL", name)
            child.communicate(timeout=60)
    with open(subject.lab.log_path, encoding="utf-8", errors="replace") as file:
        phases = parse_phases(file.read(), name)
    if not phases:
        raise pod.BenchError("the shim's log has no phases of the start")
    guest = {key: stamps.get(number, 0) / 1e9 for number, key in ((1, "started"), (2, "modules"), (3, "listening"))}
    items = bars(started, shim_started, phases, guest, first)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg(items, f"ctr run to the first output: {first - started:.2f} s, {time.strftime('%Y-%m-%d', time.gmtime())}"))
    longest = max(items, key=lambda bar: bar.end - bar.begin)
    return f"{path}: the longest bar is {longest.lane}: {longest.text}, {(longest.end - longest.begin) * 1000:.0f} ms"
