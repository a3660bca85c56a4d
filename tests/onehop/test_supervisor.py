"""The supervisor, with real children: started, replaced, handed over, drained, and never outliving their parent."""

import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

PROGRAM = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from onehop.log_setup import configure_logs
    from onehop.processes import EXIT_START_REFUSED, Role
    from onehop.supervisor import Plan, ReloadRefused, Supervisor

    folder = Path(sys.argv[1])
    configure_logs("json")

    def say(line):
        os.write(1, f"{line}\\n".encode())  # in one write, or two children's lines could mix

    def serve(ready):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        say("child starts")
        ready()
        say(f"child serves {os.getpid()}")
        signal.sigwait([signal.SIGTERM])
        say("child drained")

    def refuse(ready):
        raise SystemExit(EXIT_START_REFUSED)

    def ignore(ready):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(f"child ignores {os.getpid()}")
        ready()
        while True:
            signal.pause()

    roles = {"serve": serve, "alone": serve, "refuse": refuse, "ignore": ignore}
    def plan(names, drain_s=float(sys.argv[3])):
        return Plan([role(name, n) for n, name in enumerate(names.split(","))], drain_s)

    def role(name, n):
        kind, _, does = name.partition("=")
        return Role(f"{kind} {n}", roles[does or kind], overlaps=kind != "alone")

    def replan():
        line = (folder / "plan").read_text()
        if line.startswith("!"):
            raise ReloadRefused(line[1:])
        return plan(line)

    if "stopped-at-birth" in sys.argv:
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
    supervisor = Supervisor(plan(sys.argv[2]), on_ready=lambda: say("all ready"), replan=replan,
                            on_stop=lambda: say("stops listening"))
    sys.exit(supervisor.run())
""")


def start(folder: Path, roles: str, *how: str, drain_s: float = 20.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), roles, str(drain_s), *how],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


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
        assert out.index("stops listening") < out.index("child drained")
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
    with start(tmp_path, "ignore", drain_s=0.1) as supervisor:
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


def event(process: subprocess.Popen[str], name: str) -> dict[str, object]:
    """The next event of that name on stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        told: dict[str, object] = json.loads(line)
        if told["event"] == name:
            return told
    raise AssertionError(f"ended without {name!r}")


def end(supervisor: subprocess.Popen[str], *, code: int = 0) -> str:
    assert supervisor.stdout is not None
    supervisor.send_signal(signal.SIGTERM)
    out = supervisor.stdout.read()  # communicate() would pass over what the lines before have buffered
    assert supervisor.wait(timeout=20) == code
    return out


def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    with start(tmp_path, "ignore") as supervisor:
        wait_for_line(supervisor, "all ready")
        supervisor.send_signal(signal.SIGTERM)
        wait_for_line(supervisor, "stops listening")
        supervisor.send_signal(signal.SIGINT)
        supervisor.communicate(timeout=20)
        assert supervisor.returncode == 1


def test_one_that_dies_at_start_again_and_again_is_started_ever_more_slowly(tmp_path: Path) -> None:
    with start(tmp_path, "serve") as supervisor:
        delays = []
        for _ in range(5):
            pid = int(wait_for_line(supervisor, "child serves").split()[-1])
            os.kill(pid, signal.SIGKILL)
            died = event(supervisor, "process.died")
            assert (died["role"], died["pid"], died["exit_code"]) == ("serve 0", pid, -signal.SIGKILL)
            delays.append(died["restart_in_s"])
        assert delays == [0.1, 0.2, 0.4, 0.8, 1.6]
        end(supervisor)


def test_a_reload_starts_each_heir_before_the_one_it_replaces_drains(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("serve,serve")
    with start(tmp_path, "serve,serve") as supervisor:
        wait_for_line(supervisor, "all ready")
        supervisor.send_signal(signal.SIGHUP)
        event(supervisor, "reload.done")
        happened = [line.split()[1] for line in end(supervisor).splitlines()]
        assert [each for each in happened if each in ("starts", "drained")][:2] in (
            ["starts", "drained"],
            ["starts"] * 2,
        )
        assert happened.count("starts") == 2


def test_a_reload_ends_the_one_that_must_be_alone_before_its_heir_starts(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("alone")
    with start(tmp_path, "alone") as supervisor:
        wait_for_line(supervisor, "all ready")
        supervisor.send_signal(signal.SIGHUP)
        event(supervisor, "reload.done")
        out = end(supervisor)
        happened = [line.split()[1] for line in out.splitlines() if "serves" not in line]
        assert happened == ["drained", "starts", "listening", "drained"]


def test_a_reload_may_change_how_many_there_are(tmp_path: Path) -> None:
    with start(tmp_path, "serve") as supervisor:
        wait_for_line(supervisor, "all ready")
        for count in (3, 1):
            (tmp_path / "plan").write_text(",".join(["serve"] * count))
            supervisor.send_signal(signal.SIGHUP)
            assert event(supervisor, "reload.done")["processes_count"] == count
        assert end(supervisor).count("child drained") >= 1


def test_a_refused_reload_says_why_in_one_line_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("!the reason,\nin two lines")
    with start(tmp_path, "serve") as supervisor:
        wait_for_line(supervisor, "all ready")
        supervisor.send_signal(signal.SIGHUP)
        assert event(supervisor, "reload.refused")["reason"] == "the reason, in two lines"
        assert end(supervisor).count("child drained") == 1


def test_an_heir_that_does_not_serve_ends_the_reload_and_the_one_before_serves_on(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("serve=refuse,serve")
    with start(tmp_path, "serve,serve") as supervisor:
        wait_for_line(supervisor, "all ready")
        supervisor.send_signal(signal.SIGHUP)
        reason = event(supervisor, "reload.refused")["reason"]
        assert reason == "the new serve 0 ended with 3 before it served"
        assert end(supervisor).count("child drained") == 2


def test_an_heir_of_one_that_must_be_alone_which_does_not_serve_leaves_it_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("alone=refuse")
    with start(tmp_path, "alone") as supervisor:
        wait_for_line(supervisor, "all ready")
        supervisor.send_signal(signal.SIGHUP)
        event(supervisor, "reload.refused")
        wait_for_line(supervisor, "child starts")
        assert end(supervisor).count("child drained") == 1


def test_an_old_one_that_does_not_drain_after_a_reload_is_killed(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("ignore=serve")
    with start(tmp_path, "ignore", drain_s=0.1) as supervisor:
        old = int(wait_for_line(supervisor, "child ignores").split()[-1])
        wait_for_line(supervisor, "all ready")
        supervisor.send_signal(signal.SIGHUP)
        assert event(supervisor, "process.killed")["pid"] == old
        end(supervisor)


def test_a_terminal_that_is_closed_ends_a_server_in_its_foreground(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("serve")
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM, str(tmp_path), "serve", "20"])
    told = b""
    while b"all ready" not in told:
        told += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1)


def test_a_stop_at_a_childs_birth_is_not_lost(tmp_path: Path) -> None:
    with start(tmp_path, "serve", "stopped-at-birth") as supervisor:
        out, _ = supervisor.communicate(timeout=20)
        assert "child serves" not in out
        assert supervisor.returncode == 1, "a child that ends before all serve ends the whole"
