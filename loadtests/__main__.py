"""`make bench`: every load test, in full; or those that are named."""

import argparse
import subprocess
import sys

LOAD_TESTS = (
    "deploy", "faults", "functions", "functions_many", "guessing", "hosts", "live", "migration", "pages", "peers",
    "scale", "sizes", "soak", "storage", "ttfb", "workflows",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *LOAD_TESTS], metavar="NAME", help=", ".join(LOAD_TESTS))
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sizes, which keep no figures")
    arguments = parser.parse_args()
    options = ["--quick"] if arguments.quick else []
    commands = [[sys.executable, "-m", f"loadtests.{name}", *options] for name in arguments.names or LOAD_TESTS]
    return max(subprocess.run(command, check=False).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main())
