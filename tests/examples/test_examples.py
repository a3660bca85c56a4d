"""Each example does what its first lines say, by itself and under a worker's loader."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from examples.workflows.approval import Expense, ExpenseWorkflow
from examples.workflows.fan_out import FanOutWorkflow
from examples.workflows.first_steps import FirstSteps
from examples.workflows.order import Order, OrderWorkflow
from examples.workflows.webhooks import Checkout
from onehop.workflow_worker import load_workflows
from workflows import NonRetryableError, Workflow
from workflows.testing import TestEngine

ROOT = Path(__file__).parents[2]
NAMES = sorted(
    path.stem
    for path in (ROOT / "examples" / "workflows").glob("*.py")
    if path.stem not in ("__init__", "outbox", "params")
)
CHAIR = Expense(what="a chair", cents=40_000, approvers=["ann", "bob"])


def order(folder: Path, **changes: Any) -> dict[str, Any]:
    wanted = Order(customer="ann@example.com", address="1 Main St", cents=1999, folder=str(folder), bank_down_for=0)
    return {**wanted, **changes}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs_by_itself(name: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", f"examples.workflows.{name}"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_worker_finds_the_example_s_workflow(name: str) -> None:
    (workflow,) = load_workflows([f"examples.workflows.{name}"])
    assert workflow.__module__ == f"examples.workflows.{name}"


async def test_an_order_is_paid_once_although_the_bank_was_down(engine: TestEngine, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    handle = await engine.create(OrderWorkflow, id="o", params=order(shop, bank_down_for=3))
    await engine.advance("2 days")
    assert sorted(path.name for path in shop.iterdir()) == ["o-confirmation.eml", "o.payment.json"]
    await engine.advance("2 days")
    assert await handle.result() == {"payment": "o", "parcel": "parcel-o"}
    assert (shop / "o-review.eml").exists()
    assert json.loads((shop / "o.payment.json").read_text()) == {"cents": 1999, "state": "paid"}


async def test_an_order_that_cannot_be_shipped_is_paid_back(engine: TestEngine, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    handle = await engine.create(OrderWorkflow, id="o", params=order(shop, address=""))
    await engine.settle()
    with pytest.raises(NonRetryableError, match="no address"):
        await handle.result()
    assert json.loads((shop / "o.payment.json").read_text())["state"] == "refunded"
    assert "money back" in (shop / "o-sorry.eml").read_text()


async def test_a_small_expense_needs_nobody(engine: TestEngine) -> None:
    handle = await engine.create(ExpenseWorkflow, params={**CHAIR, "cents": 5_000})
    assert await handle.result() == {"approved": True, "by": "the rules"}


async def test_the_second_person_is_asked_when_the_first_is_silent(engine: TestEngine) -> None:
    handle = await engine.create(ExpenseWorkflow, params=CHAIR)
    await engine.advance("73 hours")
    await handle.send_event("decision-ann", {"approved": True})  # too late
    await engine.settle()
    assert (await handle.status()).status == "waiting"
    await handle.send_event("decision-bob", {"approved": False})
    assert await handle.result() == {"approved": False, "by": "bob"}


async def test_an_expense_that_nobody_answers_is_refused(engine: TestEngine) -> None:
    handle = await engine.create(ExpenseWorkflow, params=CHAIR)
    await engine.advance("1 week")
    assert await handle.result() == {"approved": False, "by": "nobody"}


async def test_ten_thousand_pieces_are_put_together_in_order(engine: TestEngine) -> None:
    handle = await engine.create(FanOutWorkflow, params={"pieces": 10_000})
    pieces = (sha256(str(piece).encode()).hexdigest() for piece in range(10_000))
    whole = sha256("".join(pieces).encode()).hexdigest()
    assert await handle.result(timeout=50) == {"pieces": 10_000, "whole": whole}


async def test_the_first_steps_go_on_after_their_sleep(engine: TestEngine) -> None:
    engine.introspect(FirstSteps, "one").mock_step_result("write what fails at first", "written")
    handle = await engine.create(FirstSteps, id="one", params={"pause": "1 month"})
    await engine.advance("20 days")
    assert (await handle.status()).status == "waiting"
    await engine.advance("20 days")
    assert (await handle.result())["written"] == "written"


@pytest.mark.parametrize(
    ("workflow", "params", "why"),
    [
        (OrderWorkflow, {}, "no 'customer'"),
        (OrderWorkflow, {"customer": "a", "cents": "1", "folder": "f"}, "'cents' of the params is no int"),
        (OrderWorkflow, [1], "no object"),
        (ExpenseWorkflow, {"what": "a chair"}, "no 'cents'"),
        (FanOutWorkflow, {}, '{"pieces": 10000}'),
        (FirstSteps, {"pause": None}, "'pause' of the params is no str"),
    ],
)
async def test_params_that_can_not_be_are_told_with_an_example(
    engine: TestEngine, workflow: type[Workflow], params: Any, why: str
) -> None:
    handle = await engine.create(workflow, params=params)
    with pytest.raises(NonRetryableError, match="they look like") as refused:
        await handle.result()
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (("payment-succeeded", "card"), {"paid": True, "by": "card"}),
        (("payment-failed", "card expired"), {"paid": False, "why": "card expired"}),
        (None, {"paid": False, "why": "nobody paid within 4 hours"}),
    ],
)
async def test_a_checkout_ends_with_what_came_first(
    engine: TestEngine, told: tuple[str, Any] | None, expected: dict[str, Any]
) -> None:
    handle = await engine.create(Checkout, id="one")
    await engine.advance("1 hour")
    if told:
        await handle.send_event(*told)
    await engine.advance("5 hours")
    assert await handle.result() == {"invoice": "invoice-one", **expected}
