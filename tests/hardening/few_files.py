"""A listener in a process that may open few files: `python -m tests.hardening.few_files COUNT`, until stdin ends."""

import resource
import sys

from tests.hardening.listener import listening

if __name__ == "__main__":
    with listening() as listener:
        count = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
        sys.stdout.write(f"{listener.port}\n")
        sys.stdout.flush()
        sys.stdin.read()
