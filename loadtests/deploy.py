"""Deploys over loopback with our own client: 1,000 files of 50 MB; the same again; 20,000 files.

Each round takes a fresh data folder, so that everything is uploaded, hashed, compressed and synced. Goals: 1,000
files in at most 3 s, and 0 bytes uploaded when nothing changed.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.deploy` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import json
import tempfile
import time

from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import Server, serving, temporary_data
from loadtests.sites import make_site

GOAL_S = 3.0


def deploy(server: Server, folder: Path) -> tuple[float, int]:
    started = time.perf_counter()
    told = json.loads(server.onehop("deploy", str(folder), "--project", "load", "--create", "--json"))
    return time.perf_counter() - started, int(told["uploaded_bytes"])


def main() -> None:
    options = parse_options(__doc__)
    rounds = 2 if options.quick else 5
    many = 2_000 if options.quick else 20_000
    first, again, large, bytes_again = [], [], [], 0
    with tempfile.TemporaryDirectory(prefix="onehop-site-") as made:
        folder, wide = Path(made) / "thousand", Path(made) / "wide"
        make_site(folder, files_count=1_000, bytes_count=50_000_000, seed=1)
        make_site(wide, files_count=many, bytes_count=many * 2_000, seed=2)
        for _ in range(rounds):
            with temporary_data() as data, serving(data) as server:
                took_s, _ = deploy(server, folder)
                first.append(took_s)
                took_s, uploaded = deploy(server, folder)
                again.append(took_s)
                bytes_again += uploaded
                took_s, _ = deploy(server, wide)
                large.append(took_s)
    figures = {
        "thousand_files_s": Measured(tuple(first), "s"),
        "unchanged_s": Measured(tuple(again), "s"),
        "wide_s": Measured(tuple(large), "s"),
    }
    sentence = (
        f"1,000 files of 50 MB: {figures['thousand_files_s']}; the same again: {figures['unchanged_s']}, "
        f"{bytes_again} bytes uploaded; {many:,} files of 2 kB: {figures['wide_s']}"
    )
    labels = ["1,000 files, 50 MB", "the same again", f"{many:,} files of 2 kB"]
    conclude(
        "deploy",
        options,
        figures,
        extra={"bytes_uploaded_again": bytes_again, "wide_files": many},
        goals={
            "thousand_files_s": Goal(figures["thousand_files_s"].median, at_most=GOAL_S),
            "bytes_uploaded_again": Goal(bytes_again, at_most=0, must_hold=True),
        },
        sentence=sentence,
        draw=lambda path: bars(path, "Deploys over loopback", labels, list(figures.values()), goal=GOAL_S),
    )


if __name__ == "__main__":
    main()
