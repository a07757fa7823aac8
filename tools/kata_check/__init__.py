"""Parts of tools/check: running a step with progress, and counting what test runners report."""
