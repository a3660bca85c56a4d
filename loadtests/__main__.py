"""`make bench`: every load test, in full."""

import subprocess
import sys

LOAD_TESTS = (
    "deploy", "functions", "functions_many", "guessing", "live", "migration", "pages", "peers", "scale", "storage",
    "ttfb", "workflows",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(
        max(subprocess.run([sys.executable, "-m", f"loadtests.{name}"], check=False).returncode for name in LOAD_TESTS)
    )
