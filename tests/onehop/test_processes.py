"""The supervisor, with real children: they are started, replaced, drained, and never outlive their parent."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

PROGRAM = textwrap.dedent("""
    import os, signal, sys, time
    from pathlib import Path
    from onehop.processes import EXIT_START_REFUSED, Role, Supervisor

    folder = Path(sys.argv[1])

    def say(line):
        os.write(1, f"{line}\\n".encode())  # in one write, or two children's lines could mix

    def serve(ready):
        drained = []
        signal.signal(signal.SIGTERM, lambda *_: drained.append(True))
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        with open(folder / "pids", "a") as pids:
            pids.write(f"{os.getpid()}\\n")
        ready()
        say(f"child serves {os.getpid()}")
        signal.sigwait([signal.SIGTERM])
        say("child drained")

    def refuse(ready):
        raise SystemExit(EXIT_START_REFUSED)

    def ignore(ready):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ready()
        while True:
            signal.pause()

    roles = {"serve": serve, "refuse": refuse, "ignore": ignore}
    names = sys.argv[2].split(",")
    supervisor = Supervisor(drain_s=0.2, on_ready=lambda: say("all ready"))
    if "stopped-at-birth" in sys.argv:
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
    for n, name in enumerate(names):
        supervisor.start(Role(f"{name} {n}", roles[name]))
    sys.exit(supervisor.run())
""")


def start(folder: Path, roles: str, *how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), roles, *how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_line(process: subprocess.Popen[str], beginning: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return line
    raise AssertionError(f"ended without {beginning!r}: {process.stderr.read() if process.stderr else ''}")


def test_sigterm_drains_every_child_and_ends_with_0(tmp_path: Path) -> None:
    with start(tmp_path, "serve,serve") as supervisor:
        wait_for_line(supervisor, "all ready")
        supervisor.send_signal(signal.SIGTERM)
        out, _ = supervisor.communicate(timeout=20)
        assert out.count("child drained") == 2
        assert supervisor.returncode == 0


def test_a_child_that_dies_is_replaced(tmp_path: Path) -> None:
    with start(tmp_path, "serve") as supervisor:
        first = int(wait_for_line(supervisor, "child serves").split()[-1])
        os.kill(first, signal.SIGKILL)
        second = int(wait_for_line(supervisor, "child serves").split()[-1])
        assert second != first
        supervisor.send_signal(signal.SIGTERM)
        supervisor.communicate(timeout=20)
        assert supervisor.returncode == 0


def test_a_child_that_refuses_to_start_ends_the_whole_with_1(tmp_path: Path) -> None:
    with start(tmp_path, "serve,refuse") as supervisor:
        supervisor.communicate(timeout=20)
        assert supervisor.returncode == 1


def test_a_child_that_does_not_drain_is_killed_after_the_deadline(tmp_path: Path) -> None:
    with start(tmp_path, "ignore") as supervisor:
        wait_for_line(supervisor, "all ready")
        supervisor.send_signal(signal.SIGTERM)
        supervisor.communicate(timeout=20)
        assert supervisor.returncode == 0


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with start(tmp_path, "serve") as supervisor:
        wait_for_line(supervisor, "all ready")
        supervisor.kill()
        out, _ = supervisor.communicate(timeout=20)  # the pipe closes only when the child is gone too
        assert "child drained" in out


def test_a_stop_at_a_childs_birth_is_not_lost(tmp_path: Path) -> None:
    with start(tmp_path, "serve", "stopped-at-birth") as supervisor:
        out, _ = supervisor.communicate(timeout=20)
        assert "child serves" not in out
        assert supervisor.returncode == 1, "a child that ends before all serve ends the whole"
