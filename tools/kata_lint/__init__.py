"""House rules of the source tree, each a function that yields Problem. tools/lint runs them; lint_test.py tests them."""

from collections import namedtuple

# path relative to the repository, line (0: the whole file), message
Problem = namedtuple("Problem", "path line message")
