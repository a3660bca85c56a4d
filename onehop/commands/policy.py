"""`onehop policy …`: works on the data folder itself, so that a scheme can be taken back when nothing else answers."""

import getpass
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from control_plane.clock import Clock
from onehop.commands.options import AsJson, Data
from onehop.opened_store import find_folder, opened
from onehop.output import show_fields, show_json, show_line, show_table, warn
from onehop.policy_edit import PolicyEdit, is_deleted
from onehop.policy_file import named_policy, policy_from_file, read_policy_file
from router.policy import Scheme
from router.policy_record import (
    PolicyChange,
    change_policy,
    changes_newest_first,
    forget_sites,
    read_policy,
    undo_last,
)

app = typer.Typer(add_completion=False, help="Which scheme finds a site's deployments: show, set, log, undo.")


def given_reason(reason: str) -> str:
    if not reason.strip():
        raise typer.BadParameter("say why: the log keeps it for whoever asks later")
    return reason.strip()


Reason = Annotated[str, typer.Option("--reason", help="Why; the log keeps it.", callback=given_reason)]
LOG_SHOWN: int = 20


@app.command("show")
def show_policy(data: Data = None, as_json: AsJson = False) -> None:
    """The policy that is in force."""
    with opened(find_folder(data)) as it, it.store.read() as snapshot:
        policy = read_policy(snapshot)
        named = named_policy(snapshot, policy)
    show_json(named) if as_json else show_fields(fields_of(named))


@app.command("set")
def set_policy(
    reason: Reason,
    site: Annotated[str | None, typer.Option("--site", help="A site's own rule: a pin, or a split.")] = None,
    dc: Annotated[str | None, typer.Option("--dc", help="A data centre's rule.")] = None,
    scheme: Annotated[Scheme | None, typer.Option("--scheme", help="What the rule says.")] = None,
    percent: Annotated[
        float | None, typer.Option("--percent", help="Percent of all sites that get --scheme (hashed).")
    ] = None,
    split: Annotated[
        float | None, typer.Option("--split", help="Percent of the site's clients that get hashed; others --scheme.")
    ] = None,
    cookie: Annotated[bool, typer.Option("--cookie", help="Let a cookie keep a client in its arm.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Take the rules of --site or --dc away.")] = False,
    server_timing: Annotated[
        bool | None, typer.Option("--server-timing/--no-server-timing", help="Say in answers how they were found.")
    ] = None,
    shadow: Annotated[
        float | None, typer.Option("--shadow", help="Percent of requests that are resolved both ways and compared.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Replace the whole policy by what 'policy show --json' printed.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Change one rule. It is in force on every edge within 50 ms."""
    edit = PolicyEdit(site, dc, scheme, percent, split, cookie, clear, server_timing, shadow)
    if file is not None and edit != PolicyEdit():
        raise typer.BadParameter("--file brings the whole policy: give no other option with it")
    given = read_policy_file(file) if file is not None else None
    with opened(find_folder(data)) as it, it.store.write() as transaction:
        change = edit.change(transaction) if given is None else policy_from_file(transaction, given)
        what = edit.described() if given is None else f"--file {given.path.name}"
        before = read_policy(transaction)
        is_change = replace(change(before), generation=before.generation, salt=before.salt) != before
        policy = before
        if is_change:  # or an undo would later take back nothing
            policy = change_policy(transaction, change, who=who(), when=Clock().now(), why=reason, what=what)
        named = named_policy(transaction, policy)
    told = what if is_change else f"{what} is so already, nothing was changed"
    if file is None and (overruling := edit.overruled_by(policy)) is not None:
        warn(overruling)
    show_json(named) if as_json else show_line(f"policy {policy.generation}: {told}")


@app.command("log")
def show_log(
    count: Annotated[int, typer.Option("--count", min=1, help="How many changes, the newest first.")] = LOG_SHOWN,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Who changed the policy, when, how and why."""
    with opened(find_folder(data)) as it, it.store.read() as snapshot:
        entries = [entry for entry, _ in zip(changes_newest_first(snapshot), range(count), strict=False)]
    if as_json:
        show_json([document_of(entry) for entry in entries])
        return
    rows = [(entry.generation, entry.when, entry.who, entry.what, entry.why) for entry in entries]
    show_table(("generation", "when", "who", "change", "reason"), rows, empty="the policy was never changed")


@app.command("undo")
def undo(
    reason: Reason = "taken back",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Take the last change back; again, the one before it."""
    with opened(find_folder(data)) as it, it.store.write() as transaction:
        undone = undo_last(transaction, who=who(), when=Clock().now(), why=reason)
        forget_sites(transaction, is_gone=lambda site_no: is_deleted(transaction, site_no))
        named = named_policy(transaction, read_policy(transaction))
    if as_json:
        show_json(named)
    else:
        show_line(f"undone: change {undone.generation} of {undone.who}, {undone.what}")


def who() -> str:
    """Whoever typed the command, as the system knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def document_of(entry: PolicyChange) -> dict[str, object]:
    return {
        "generation": entry.generation,
        "when": entry.when,
        "who": entry.who,
        "change": entry.what,
        "reason": entry.why,
        "undoes": entry.undoes,
    }


def fields_of(named: dict[str, object]) -> list[tuple[str, object]]:
    """In the order in which rules are asked."""
    pins, splits, dcs = (dict(named[each]) for each in ("pins", "splits", "data_centres"))  # type: ignore[call-overload]
    percentage = dict(named["percentage"] or {})  # type: ignore[call-overload]
    timing = "everywhere" if named["server_timing_everywhere"] else ", ".join(named["server_timing"]) or "off"  # type: ignore[arg-type]
    return [
        ("generation", named["generation"]),
        ("1 pins", ", ".join(f"{site} → {scheme}" for site, scheme in pins.items()) or "none"),
        ("2 splits", ", ".join(describe_split(site, split) for site, split in splits.items()) or "none"),
        ("3 data centres", ", ".join(f"{dc} → {scheme}" for dc, scheme in dcs.items()) or "none"),
        ("4 percentage", f"{percentage['percent']:g} % of sites → {percentage['scheme']}" if percentage else "none"),
        ("5 default", named["default"]),
        ("shadow compare", f"{named['shadow_percent']:g} % of requests"),
        ("Server-Timing", timing),
    ]


def describe_split(site: str, split: dict[str, object]) -> str:
    cookie = ", with a cookie" if split["cookie"] else ""
    return f"{site}: {split['hashed_percent']:g} % hashed, the others {split['other']}{cookie}"
