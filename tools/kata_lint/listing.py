"""Every source is listed in a CMakeLists.txt of its folder; every folder of src/ has a README.md of a few lines."""

import os
import re

from . import Problem


def check(root, files):
    folders = set()
    for path in files:
        if not path.startswith("src/"):
            continue
        folders.add(os.path.dirname(path))
        if path.endswith(".cpp") and not _listed(root, path):
            yield Problem(path, 0, "is not listed in a CMakeLists.txt of its folder or of a folder above it")
    for folder in sorted(folders):
        if not os.path.exists(os.path.join(root, folder, "README.md")) and not folder.startswith("src/cmd/"):
            if os.path.exists(os.path.join(root, folder, "CMakeLists.txt")):
                yield Problem(folder, 0, "has no README.md: a few lines on what lives here and what it may include")


def _listed(root, path):
    folder = os.path.dirname(path)
    while folder.startswith("src"):
        listing = os.path.join(root, folder, "CMakeLists.txt")
        if os.path.exists(listing):
            with open(listing, encoding="utf-8") as file:
                text = re.sub(r"#[^\n]*", "", file.read())
            if re.search(rf"(?<![\w/.-]){re.escape(os.path.relpath(path, folder))}(?![\w.-])", text):
                return True
        folder = os.path.dirname(folder)
    return False
