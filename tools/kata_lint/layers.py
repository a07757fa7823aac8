"""The include rule: which folder of src/ may include which. The table is src/layers.txt; its head explains the form."""

import os
import re

from . import Problem

_INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


class Layers:
    def __init__(self, text):
        self.rank = {}        # folder -> (wing, position from the top, column among siblings)
        self.exceptions = {}  # folder -> the files that may include its sub-folders; such a folder keeps them apart
        wing, position = None, 0
        for line in text.splitlines():
            line = line.partition("#")[0].strip()
            if line.startswith("wing "):
                wing = line.split()[1]
            elif line:
                position += 1
                for column, entry in enumerate(line.split("|")):
                    words = entry.split()
                    self.rank[words[0]] = (wing, position, column)
                    allowed = [word[1:] for word in words[1:] if word.startswith("!")]
                    if allowed:
                        self.exceptions[words[0]] = allowed

    def folder_of(self, path):
        """Returns the longest listed folder that holds `path` (relative to src/), or None."""
        folder = os.path.dirname(path)
        while folder and folder not in self.rank:
            folder = os.path.dirname(folder)
        return folder or None

    def refusal(self, source, target):
        """Returns why the file `source` must not include `target` (both relative to src/), or None if it may."""
        if source.startswith("cmd/"):
            return None
        if target.startswith("cmd/"):
            return "programs are included by nobody"
        here, there = self.folder_of(source), self.folder_of(target)
        if here is None:
            return None if "/" not in source else f"folder of {source} is not in src/layers.txt"
        if there is None:
            return f"folder of {target} is not in src/layers.txt"
        if here == there:
            return self._inside(here, source, target)
        (wing, position, _), (other_wing, other_position, _) = self.rank[here], self.rank[there]
        if other_wing == wing:
            if here.startswith(there + "/"):
                return None  # a sub-folder includes the interface above it
            if other_position == position:
                return f"{here} and {there} are siblings and do not include each other"
            return None if other_position > position else f"{there} is above {here}"
        if other_wing == "lib":
            return None
        return f"wing {wing} does not include wing {other_wing}"

    def _inside(self, folder, source, target):
        if folder not in self.exceptions or source in self.exceptions[folder]:
            return None
        source_sub = os.path.dirname(source)[len(folder):].strip("/").split("/")[0]
        target_sub = os.path.dirname(target)[len(folder):].strip("/").split("/")[0]
        if target_sub in ("", source_sub):
            return None
        if not source_sub:
            return f"only {' and '.join(self.exceptions[folder])} may include a sub-folder of {folder}"
        return f"{folder}/{source_sub} and {folder}/{target_sub} are siblings and do not include each other"


def check(root, files):
    """`files`: C++ paths relative to `root`, the repository."""
    with open(os.path.join(root, "src/layers.txt"), encoding="utf-8") as file:
        layers = Layers(file.read())
    for path in files:
        if not path.startswith("src/"):
            continue
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        for match in _INCLUDE.finditer(text):
            target = match[1]
            if not target.startswith(("host/", "guest/", "lib/", "cmd/")):
                continue
            refusal = layers.refusal(path[4:], target)
            if refusal:
                yield Problem(path, text.count("\n", 0, match.start(1)) + 1, f"must not include src/{target}: {refusal}")
            elif not os.path.exists(os.path.join(root, "src", target)):
                yield Problem(path, text.count("\n", 0, match.start(1)) + 1, f"includes src/{target}, which does not exist")
