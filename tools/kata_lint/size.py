"""Size rules: no file over 500 lines, no function over 60. Lines of a function are counted from its first to its closing line."""

import os
import re

from . import Problem

FILE_LINES = 500
FUNCTION_LINES = 60

# Comments, raw strings, strings and character literals, in the order in which they can start.
_NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^()\\ ]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![\w])\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
_SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b")

_LABEL = re.compile(r"\s*(?:(?:public|protected|private)\s*:\s*)*")


def _blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def functions(text):
    """Yields (first line, last line, name) of each outermost function body. A scanner, not a compiler: good for our style."""
    text = _NOISE.sub(_blank, text)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", _blank, text, flags=re.MULTILINE)
    start, depth, opened = 0, 0, None
    scopes = []
    for position, char in enumerate(text):
        if char == "{":
            if opened is None:
                head = text[start:position]
                if _is_function(head):
                    opened = (depth, start + _LABEL.match(head).end(), head)
                scopes.append(char)
            depth += 1
        elif char == "}":
            depth -= 1
            if opened and depth == opened[0]:
                first = text.count("\n", 0, opened[1]) + 1
                yield first, text.count("\n", 0, position) + 1, _name(opened[2])
                opened = None
        if opened is None and char in "{};":
            start = position + 1


def _is_function(head):
    head = head.strip()
    if "(" not in head or head.endswith(("=", ",", "(", "return")):
        return False
    before = head[:head.index("(")]
    if _SCOPE.search(re.sub(r"<[^<>]*>", "", before)) and not re.search(r"\boperator\b", before):
        # `struct stat f(...) {` is a function, `struct alignas(8) X {` is not
        return bool(re.search(r"\w\s+[\w:~]+$", before)) and "alignas" not in before and not before.strip().startswith("namespace")
    return "=" not in before or "operator" in before


def _name(head):
    match = re.search(r"([~\w:]+|operator\s*\S+?)\s*\(", head)
    return match[1] if match else "function"


def check(root, files):
    for path in files:
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        lines = text.count("\n")
        if lines > FILE_LINES:
            yield Problem(path, 0, f"{lines} lines, {FILE_LINES} at most: split it by topic")
        for first, last, name in functions(text):
            if last - first + 1 > FUNCTION_LINES:
                yield Problem(path, first, f"function {name} has {last - first + 1} lines, {FUNCTION_LINES} at most")
