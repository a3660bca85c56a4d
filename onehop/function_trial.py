"""Whether a function starts, for the control plane: a bundle with its site's secrets, tried on the workerd at hand."""

from collections.abc import Callable
from datetime import UTC, datetime

from functions.bundle import StoredBundle
from functions.errors import WorkerdUnusable
from functions.trial import start_problem
from functions.variable_seal import SealBroken, VariableSeal
from functions.worker_code import TRIAL_ENTRY, worker_code
from onehop.config import Config
from onehop.function_parts import find_workerd, run_folder
from router.event_log import event_log


def make_trial(config: Config, seal: VariableSeal) -> Callable[[StoredBundle, int], str | None]:
    """What is wrong with a bundle of the site with that number; None where it starts, and where no workerd runs."""
    workerd = find_workerd(config)

    def tried(stored: StoredBundle, site_no: int) -> str | None:
        if workerd is None:
            return None
        try:
            code = worker_code(
                stored,
                lambda sealed, name: seal.open(sealed, site_no=site_no, name=name),
                today=datetime.now(UTC).date(),
                newest=workerd.newest,
                entry=TRIAL_ENTRY,
            )
            with run_folder() as folder:
                return start_problem(workerd.program, folder, code)
        except (WorkerdUnusable, SealBroken, OSError) as error:
            event_log().warning("function.untried", site_no=site_no, reason=str(error))
            return None

    return tried
