"""Rows as text: the table on the terminal, the JSON file, the table for docs."""

import json
import os
import platform
import time

from . import stats


def number(value, unit):
    """A value with as many digits as mean something."""
    if value is None:
        return "-"
    if unit in ("bytes", "KiB", "count") or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if unit in ("ratio", "s") else f"{value:.1f}"


def _verdict(row):
    words = list(row.flags)
    if row.missed:
        words.append("MISSED")
    return ", ".join(words + ([row.note] if row.note else []))


def _cells(row):
    goal = f"{row.goal[0]} {number(row.goal[1], row.unit)}" if row.goal else ""
    floor_unit = {"ratio": "s"}.get(row.unit, row.unit)
    return [row.name, number(row.value, row.unit), row.unit, str(row.n), number(row.p99, row.unit), number(row.floor, floor_unit), goal]


_HEAD = ["what", "value", "unit", "n", "p99", "floor", "must"]


def text(rows, peers=None):
    """The table for people. `peers` {name: row} of another implementation get a column of their own."""
    lines = [_HEAD + (["against"] if peers else []) + [""]]
    for row in rows:
        other = peers.get(row.name) if peers else None
        lines.append(_cells(row) + ([number(other.value, row.unit) if other else "-"] if peers else []) + [_verdict(row)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    aligned = []
    for line in lines:
        cells = [f"{cell:{'<' if column in (0, 2) else '>'}{width}}" for column, (cell, width) in enumerate(zip(line, widths))]
        aligned.append("  ".join([*cells, line[-1]]).rstrip())
    return "\n".join(aligned)


def markdown(document):
    """The table for docs/performance.md, from the document of to_json()."""
    lines = [f"Taken {document['date']} on {document['machine']} with `{document['command']}`; load average before the run "
             f"{document['load']:.1f}.", "", "| row | value | unit | n | p99 | floor | must | remark |", "|---|---|---|---|---|---|---|---|"]
    for fields in document["rows"]:
        row = stats.Row.from_json(fields)
        cells = _cells(row)
        lines.append("| " + " | ".join([f"`{cells[0]}`", *cells[1:], _verdict(row)]) + " |")
    return "\n".join(lines)


def machine():
    """What the figures depend on, in a line: processors, memory, kernel, accelerator."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    model = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        pass
    return f"{os.cpu_count()} × {model or platform.machine()}, {pages:.0f} GiB, Linux {platform.release()}"


def to_json(rows, command, load, peers=None):
    document = {"date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC", "machine": machine(), "command": command, "load": load,
                "rows": [row.to_json() for row in rows]}
    if peers:
        document["against"] = [row.to_json() for row in peers]
    return document


def write(path, document):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
        file.write("\n")
