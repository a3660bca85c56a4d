"""`onehop workflow worker`: the options; `onehop.workflow_worker` does the work."""

from typing import Annotated

import orjson
import typer

from onehop.commands.options import AsJson, Data, FiniteRange
from onehop.opened_store import find_folder
from onehop.output import show_line

DRAIN_S = 30.0
MAX_RUNNING = 100
DRAIN = FiniteRange(min=0, max=86_400)
PART = FiniteRange(min=0, max=1)


def run_worker(
    modules: Annotated[
        list[str], typer.Option("--module", metavar="MODULE", help="A Python module, or a .py file; may come again.")
    ],
    max_running: Annotated[int, typer.Option(help="Instances of a workflow that run at once.", min=1)] = MAX_RUNNING,
    drain_s: Annotated[
        float, typer.Option(click_type=DRAIN, help="Seconds for steps to finish when stopped.")
    ] = DRAIN_S,
    retry_jitter: Annotated[
        float,
        typer.Option(click_type=PART, help="Retries wait up to this part longer, at random."),
    ] = 0.0,
    local_port: Annotated[
        int | None,
        typer.Option(
            envvar="ONEHOP_LOCAL_PORT",
            min=1,
            max=65535,
            help="Serve 'wrangler workflows … --local --port PORT' there, without a token.",
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Run the workflows of a module until stopped (Ctrl-C), sharing the work with other workers."""
    # Imported here: of all workflow commands, only this one needs the engine and its 100 ms.
    from onehop.workflow_worker import WorkerOptions, load_workflows, run_until_stopped
    from workflows.workflow import name_of

    folder = find_folder(data)
    workflows = load_workflows(modules)
    names = [name_of(each) for each in workflows]

    def announce() -> None:
        if as_json:
            show_line(orjson.dumps({"workflows": names, "store": str(folder.workflow_store)}).decode("utf-8"))
        else:
            show_line(f"running {', '.join(names)} on {folder.workflow_store}; Ctrl-C lets them finish and stops")

    options = WorkerOptions(folder.workflow_store, max_running, drain_s, local_port, retry_jitter=retry_jitter)
    run_until_stopped(workflows, options, on_ready=announce)
    if not as_json:
        show_line("stopped")
