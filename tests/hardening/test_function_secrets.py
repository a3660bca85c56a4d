"""A secret of a project is in clear nowhere but in its function: no log, error, answer, argument, file or backup."""

import base64
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.function_sites import FunctionServer, children, function_server

SECRET = "a-secret-value-0451-that-nobody-may-see"
FORMS = (SECRET.encode(), base64.b64encode(SECRET.encode()), SECRET.encode().hex().encode())
WORKER = """
export default {
  fetch(request, env) {
    if (new URL(request.url).pathname === "/throw") throw new Error("without it");
    return new Response(env.KEY);
  },
};
"""


def holding(pieces: Iterator[tuple[str, bytes]]) -> list[str]:
    return [name for name, content in pieces if any(form in content for form in FORMS)]


def files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    return ((str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file())


def members_of(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as opened:
        for member in opened:
            content = opened.extractfile(member)
            if content is not None:
                yield f"{archive.name}: {member.name}", content.read()


def processes(pid: int) -> Iterator[int]:
    yield pid
    for child in children(pid):
        yield from processes(child)


def project(functions: FunctionServer, method: str = "GET", path: str = "", variables: object = None) -> bytes:
    """What the API answers about the project of the test."""
    account = functions.server.api("GET", "/accounts")["result"][0]["id"]
    body = None if variables is None else {"deployment_configs": {"production": {"env_vars": variables}}}
    return str(functions.server.api(method, f"/accounts/{account}/pages/projects{path}", body)).encode()


def test_a_secret_is_in_clear_nowhere_but_in_its_function(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with function_server(tmp_path) as functions:
        functions.deploy("kept", WORKER)
        secret = {"type": "secret_text", "value": SECRET}
        answers = [
            project(functions, "PATCH", "/kept", {"KEY": secret}),
            project(functions, "PATCH", "/kept", {"KEY": secret, "BAD": {"type": 7, "value": SECRET}}),
        ]
        functions.deploy("kept", WORKER)
        assert functions.get("kept").body.decode() == SECRET, "the function itself gets it"
        answers.append(functions.get("kept", "/throw").body)
        for pid in functions.workerd_pids():
            os.kill(pid, signal.SIGKILL)
        assert functions.get("kept").status in (200, 502)
        answers += [project(functions, path=path) for path in ("", "/kept", "/kept/deployments")]
        for name in ("backup", "backup.tar", "backup.tar.gz"):
            done = functions.server.cli("backup", str(tmp_path / name))
            answers.append((done.stdout + done.stderr).encode())
        for arguments in (("functions", "logs", "kept"), ("site", "show", "kept", "--json"), ("check",)):
            done = functions.server.cli(*arguments, check=False)
            answers.append((done.stdout + done.stderr).encode())
        arguments_of = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes(functions.server.pid)]
        assert len(arguments_of) >= 3, "the server, an edge worker and its workerd"
    said = capfd.readouterr()
    assert holding((f"answer {number}", each) for number, each in enumerate(answers)) == []
    assert holding((f"process {number}", each) for number, each in enumerate(arguments_of)) == []
    assert holding(iter([("stdout", said.out.encode()), ("stderr", said.err.encode())])) == []
    assert holding(files_below(tmp_path)) == []
    assert list(members_of(tmp_path / "backup.tar")), "the archive can be read"
    for name in ("backup.tar", "backup.tar.gz"):
        assert holding(members_of(tmp_path / name)) == []
