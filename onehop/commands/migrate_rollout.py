"""`onehop migrate rollout` and `report`."""

import os
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from migration.failures import read_failures
from migration.progress import read_progress
from migration.report import Story, render_report
from migration.report_svg import render_picture
from migration.samples import SampleLog, read_samples
from onehop.commands.options import SOME_PERCENT, AsJson, Data
from onehop.commands.policy import who
from onehop.config import load_config
from onehop.errors import CommandFailed
from onehop.log_setup import configure_logs
from onehop.migration_rollout import ROLLOUT, Rollout, RolloutOptions, percent_of, take_back
from onehop.opened_store import find_folder, opened
from onehop.output import show_json, show_line, watched
from onehop.site_lookup import site_names_of
from router.policy import Policy

DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|)")
HOLD_S_MAX: Final = 7 * 86_400.0
BACK: Final = "taken back by hand"
UNIT_S: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class NoReport(CommandFailed):
    """There was no migration yet."""


def rollout(
    to: Annotated[float, typer.Option(click_type=SOME_PERCENT, help="Percent of sites, at the end.")] = 100.0,
    step: Annotated[float, typer.Option(click_type=SOME_PERCENT, help="Percent of sites, more at each step.")] = 10.0,
    hold: Annotated[str, typer.Option(help="How long each step is looked at: 60s, 5m, 1h.")] = "60s",
    verify: Annotated[bool, typer.Option(help="Compare the sites of a step by both schemes before it.")] = True,
    needs_visitors: Annotated[
        bool, typer.Option("--needs-visitors", help="Refuse to begin while nobody comes whose p99 could be seen.")
    ] = False,
    back: Annotated[
        bool, typer.Option("--back", help="Take the last rollout back, whole, and do nothing else.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why it is taken back; the policy's log keeps it.")] = BACK,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Let the hashed scheme serve more and more sites; takes itself back when differences, errors or p99 say so.

    One that was cut short is gone on with.
    """
    configure_logs(load_config({}, os.environ).log_format)
    hold_s = parsed_duration_s(hold)
    with opened(find_folder(data)) as it:
        if back:
            tell_back(take_back(it, who(), reason), as_json=as_json)
            return
        options = RolloutOptions(to, step, hold_s, verifies=verify, needs_visitors=needs_visitors)
        it.folder.migration.mkdir(mode=0o700, exist_ok=True)
        with watched() as watcher:
            rolled_out = Rollout(it, options, who(), watcher, SampleLog(it.folder.samples))
            policy = rolled_out.run()
    percent = percent_of(policy)
    if as_json:
        show_json({"percent": percent, "generation": policy.generation, "unseen": rolled_out.unseen})
        return
    show_line(f"the hashed scheme serves {percent:g} % of sites (policy {policy.generation})")
    if rolled_out.unseen:
        unseen = ", ".join(f"{each:g}" for each in rolled_out.unseen)
        show_line(f"nobody came while it was held at {unseen} %: of p99 and errors nothing was seen there")


def tell_back(policy: Policy, *, as_json: bool) -> None:
    if as_json:
        show_json({"percent": percent_of(policy), "generation": policy.generation})
        return
    show_line(
        f"taken back: the percentage rule is at {percent_of(policy):g} %, other sites get {policy.default} "
        f"(policy {policy.generation})"
    )
    if policy.pins or policy.splits or policy.data_centres:
        show_line("rules of single sites and data centres are asked before these; 'onehop policy show' has them")


def report(
    out: Annotated[Path, typer.Option("--out", help="A page, or a picture where it ends in .svg.")] = Path(
        "migration.html"
    ),
    data: Data = None,
) -> None:
    """Write the last migration down: rate and p99 over time, failures by reason, the rollout."""
    with opened(find_folder(data), only_reads=True) as it:
        with it.store.read() as snapshot:
            progress, failures = read_progress(snapshot), list(read_failures(snapshot))
            names = site_names_of(snapshot, {each.site_no for each in failures})
        if progress is None:
            raise NoReport("no migration yet; 'onehop migrate run' begins one")
        samples = list(read_samples(it.folder.samples))
    own = [sample for sample in samples if sample.job == progress.job]
    rolled_out = [sample for sample in samples if sample.job == ROLLOUT and sample.at_s >= progress.started_s]
    story = Story(progress, own, rolled_out, failures, names)
    render = render_picture if out.suffix.lower() == ".svg" else render_report
    out.write_text(render(story), "utf-8")
    show_line(f"written to {out}")


def parsed_duration_s(text: str) -> float:
    match = DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * UNIT_S[match[2]] if match is not None else 0.0
    if not 0 < seconds <= HOLD_S_MAX:
        raise typer.BadParameter(f"--hold {text[:20]!r} isn't a time such as 60s, 5m or 1h, of at most 7 days")
    return seconds
