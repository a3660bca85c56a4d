"""Where a request's time goes: stacks of an edge worker under 4 KiB answers with a browser's headers, as a picture.

Needs py-spy (`pip install py-spy`) beside wrk. What it samples in C is told by whose code it is: the kernel's, uvloop's
(libuv with it), and Onehop's own, function by function. Samples in epoll_pwait are left out, since waiting for work
can't be told there from finding it.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final

from loadtests.peers import BROWSER, CLIENT_CPU, HOST, SERVER_CPU, make_folder
from loadtests.report import FIGURES
from loadtests.server import edge_pid, serving, temporary_data
from loadtests.wrk import require_wrk, run_wrk

SECONDS: Final = 10
SAMPLES_PER_S: Final = 500
SHARE_MIN: Final = 0.004
WIDTH, ROW = 1000, 20
CHARACTER: Final = 6.6
FRAME: Final = re.compile(r"(?P<function>.+?) \((?P<file>[^()]*?)(?::\d+)?\)")
SYSTEM_CALLS: Final = {
    "write": "kernel: write",
    "writev": "kernel: writev",
    "read": "kernel: read",
    "recv": "kernel: read",
    "sendfile": "kernel: sendfile",
    "sendto": "kernel: send",
    "syscall": "kernel: io_uring",
    "getpid": "kernel: getpid",
    "clock_gettime": "kernel: the clock",
}
COLOURS: Final = {"kernel": "#d9a36a", "uvloop": "#b9c4d0", "onehop": "#7fa3d1", "all": "#e4e4e4"}


@dataclass
class Node:
    """A frame and what it called. `samples` are all of its own and theirs."""

    name: str
    samples: int = 0
    children: dict[str, "Node"] = field(default_factory=dict)

    def add(self, names: list[str], samples: int) -> None:
        self.samples += samples
        if names:
            name, *rest = names
            self.children.setdefault(name, Node(name)).add(rest, samples)


def label_of(frame: str) -> str | None:
    """None for frames that are CPython's own: they count for whoever is being run."""
    match = FRAME.fullmatch(frame)
    if match is None:
        return None
    function, file = match["function"], match["file"]
    if file.startswith(("router/", "asset_server/", "onehop/")):
        return function
    if "libc" in file:
        return SYSTEM_CALLS.get(function.lstrip("_").removeprefix("GI___libc_"))
    if file == "loop.c" or function.startswith(("uv_", "uv__", "__uv")):
        return "uvloop"
    return None


def names_of(stack: str) -> list[str]:
    """From the event loop's turn on, who called whom; the same one twice in a row is one."""
    frames = stack.split(";")
    start = next((index for index, frame in enumerate(frames) if frame.startswith("uv_run ")), len(frames))
    names: list[str] = []
    for label in map(label_of, frames[start:]):
        if label is not None and (not names or names[-1] != label):
            names.append(label)
    return names


def tree_of(stacks: str) -> Node:
    root = Node("an edge worker")
    for line in stacks.splitlines():
        stack, _, samples = line.rpartition(" ")
        names = names_of(stack)
        if names and ";epoll_pwait " not in stack:
            root.add(names, int(samples))
    return root


def boxes(node: Node, *, x: float, depth: int, scale: float) -> Iterator[tuple[float, int, float, Node]]:
    """(x, depth, width, node) of all that is wide enough, the widest child first."""
    yield x, depth, node.samples * scale, node
    for child in sorted(node.children.values(), key=lambda each: -each.samples):
        if child.samples * scale >= WIDTH * SHARE_MIN:
            yield from boxes(child, x=x, depth=depth + 1, scale=scale)
        x += child.samples * scale


def draw(root: Node, path: Path) -> None:
    drawn = list(boxes(root, x=0.0, depth=0, scale=WIDTH / root.samples))
    height = (max(depth for _, depth, _, _ in drawn) + 1) * ROW
    view = f'viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {view}>']
    for x, depth, width, node in drawn:
        kind = "all" if depth == 0 else node.name.split(":")[0] if ":" in node.name else "onehop"
        kind = "uvloop" if node.name == "uvloop" else kind
        share = f"{node.samples / root.samples:.1%}"
        text = f"{node.name} {share}"
        room = int(width / CHARACTER) - 1
        short = node.name.rpartition(".")[2].removeprefix("kernel: ")
        shown = next((each for each in (text, node.name, f"{short} {share}", short) if len(each) <= room), "")
        parts.append(
            f"<g><title>{escape(text)}</title>"
            f'<rect x="{x:.1f}" y="{depth * ROW}" width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 1}" '
            f'fill="{COLOURS[kind]}"/><text x="{x + 3:.1f}" y="{depth * ROW + 14}">{escape(shown)}</text></g>'
        )
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    require_wrk()
    spy = shutil.which("py-spy")
    if spy is None:
        raise SystemExit("this needs py-spy on the PATH: pip install py-spy")
    with temporary_data() as data, tempfile.TemporaryDirectory() as made, serving(data, cpu=SERVER_CPU) as server:
        make_folder(Path(made) / "site")
        server.onehop("deploy", f"{made}/site", "--project", "site", "--branch", "main", "--json")
        stacks = Path(made) / "stacks"
        command = [spy, "record", "--native", "--rate", str(SAMPLES_PER_S), "--duration", str(SECONDS - 2)]
        spying = subprocess.Popen(
            [*command, "--pid", str(edge_pid(server)), "--format", "raw", "--output", str(stacks)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{server.edge_port}/"
        run_wrk(url, cpu=CLIENT_CPU, seconds=SECONDS, fields={"Host": HOST, **BROWSER})
        spying.wait(timeout=60)
        FIGURES.mkdir(exist_ok=True)
        draw(tree_of(stacks.read_text()), FIGURES / "flame.svg")
    print(f"drawn: {FIGURES / 'flame.svg'}")


if __name__ == "__main__":
    main()
