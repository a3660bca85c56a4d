"""Why a function can't be run.

WorkerdUnusable        workerd itself can't be started; for the operator
FunctionUnavailable    no process runs this bundle now; for the visitor
"""


class WorkerdUnusable(Exception):
    """workerd can't be started; the text says why."""


class FunctionUnavailable(Exception):
    """No process runs this bundle now. `status` is the answer's, `reason` is for people."""

    def __init__(self, status: int, reason: str, *, retry_after_s: int) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry_after_s = status, reason, retry_after_s
