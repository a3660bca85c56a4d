"""What a form asks for: fields to a command. The JSON in them is read as strictly as the API's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envelope.bodies import parse_json
from envelope.errors import BodyUnreadable, ValueRefused
from workflows.rest.wishes import parse_from_step
from workflows.states import Command


@dataclass(frozen=True, slots=True)
class Start:
    instance_id: str | None
    params: object


@dataclass(frozen=True, slots=True)
class Order:
    """A command for the engine; or, with an `event_type`, an event."""

    command: Mapping[str, Any] = field(default_factory=dict)
    event_type: str | None = None
    payload: object = None


def parse_start(form: Mapping[str, str]) -> Start:
    """Raises ValueRefused."""
    return Start(form.get("id", "").strip() or None, json_of(form, "params"))


def parse_order(form: Mapping[str, str]) -> Order:
    """Raises ValueRefused."""
    match form.get("action"):
        case "pause":
            return Order({"do": Command.PAUSE})
        case "resume":
            return Order({"do": Command.RESUME})
        case "delete":
            return Order({"do": Command.DELETE})
        case "terminate":
            return Order({"do": Command.TERMINATE, "rollback": form.get("rollback") == "yes"})
        case "restart":
            return Order({"do": Command.RESTART, **from_step_of(form)})
        case "send-event":
            return Order(event_type=form.get("type", ""), payload=json_of(form, "payload"))
        case _:
            raise ValueRefused("the form asks for nothing that there is")


def from_step_of(form: Mapping[str, str]) -> dict[str, Any]:
    if "step" not in form:
        return {}
    count = form.get("count", "1")
    number = int(count) if count.isascii() and count.isdigit() and len(count) < 10 else 0
    step = parse_from_step({"name": form["step"], "count": number, "type": form.get("type", "do")})
    return {"from": {"name": step.name, "count": step.count, "type": step.type}}


def json_of(form: Mapping[str, str], name: str) -> object:
    """An empty field is an empty object. Raises ValueRefused."""
    text = form.get(name, "").strip()
    try:
        return parse_json(text.encode("utf-8"), what=f"the text in {name.capitalize()}") if text else {}
    except BodyUnreadable as error:
        raise ValueRefused(error.message) from None
