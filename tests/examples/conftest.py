"""An engine on a clock that stands still, for the examples' sleeps and time-outs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.workflows.approval import ExpenseWorkflow
from examples.workflows.fan_out import FanOutWorkflow
from examples.workflows.first_steps import FirstSteps
from examples.workflows.order import OrderWorkflow
from examples.workflows.webhooks import Checkout
from workflows.testing import TestEngine, open_test_engine

EXAMPLES = (ExpenseWorkflow, FanOutWorkflow, FirstSteps, OrderWorkflow, Checkout)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[TestEngine]:
    async with open_test_engine(EXAMPLES, tmp_path / "workflows.db") as engine:
        yield engine
