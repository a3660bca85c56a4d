"""Sites with a function, deployed by our own client to a server that runs the real workerd."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import Answer, LiveServer, serving
from tests.real_parts import find_workerd


@dataclass(frozen=True, slots=True)
class FunctionServer:
    server: LiveServer
    work: Path

    def deploy(
        self, site: str, worker: str, *, routes: str | None = None, files: Mapping[str, str] | None = None
    ) -> str:
        """The site's production host."""
        folder = self.work / site
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_worker.js").write_text(worker)
        if routes is not None:
            (folder / "_routes.json").write_text(routes)
        for name, content in {"index.html": f"<h1>{site}</h1>", **(files or {})}.items():
            (folder / name).write_text(content)
        self.server.cli("deploy", str(folder), "--project", site, "--branch", "main", "--json")
        return f"{site}.pages.localhost"

    def get(
        self, site: str, target: str = "/", *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self.server.get(f"{site}.pages.localhost", target, method=method, headers=headers)

    def workerd_pids(self) -> list[int]:
        """Children of the edge workers, which are the server's."""
        return [child for worker in children(self.server.pid) for child in children(worker)]


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@contextmanager
def function_server(work: Path, *options: str) -> Iterator[FunctionServer]:
    with serving(work / "data", "--workerd", str(find_workerd()), *options) as server:
        yield FunctionServer(server, work / "sites")
