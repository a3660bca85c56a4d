"""The rows of workflows and of their versions."""

from dataclasses import dataclass

from workflows.store.instances import new_id
from workflows.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A workflow as its code or a deploy describes it. Retentions are ms."""

    name: str
    script_name: str
    class_name: str
    code_hash: str
    limits_json: str | None = None
    schedules_json: str | None = None
    success_ret_ms: int | None = None
    error_ret_ms: int | None = None
    max_running: int | None = None


def register_workflow(transaction: Transaction, wanted: Registration) -> tuple[str, str]:
    """Idempotent; another `code_hash` is another version, the newest the current one. (workflow id, version id)"""
    now = transaction.now_ms
    row = transaction.one("SELECT id FROM workflows WHERE name=?", (wanted.name,))
    settings = (
        wanted.script_name, wanted.class_name, wanted.limits_json, wanted.schedules_json, wanted.success_ret_ms,
        wanted.error_ret_ms, wanted.max_running,
    )  # fmt: skip
    if row is None:
        workflow_id = new_id()
        transaction.execute(
            "INSERT INTO workflows(id, name, script_name, class_name, limits_json, schedules_json, success_ret_ms,"
            " error_ret_ms, max_running, created_on, modified_on) VALUES(?,?,?,?,?,?,?,?,?,?,?)",
            (workflow_id, wanted.name, *settings, now, now),
        )
    else:
        workflow_id = row[0]
        transaction.execute(
            "UPDATE workflows SET script_name=?1, class_name=?2, limits_json=?3, schedules_json=?4, success_ret_ms=?5,"
            " error_ret_ms=?6, max_running=?7, modified_on=?8 WHERE id=?9 AND (script_name, class_name, limits_json,"
            " schedules_json, success_ret_ms, error_ret_ms, max_running) IS NOT (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (*settings, now, workflow_id),
        )
    return workflow_id, _version(transaction, workflow_id, wanted)


def _version(transaction: Transaction, workflow_id: str, wanted: Registration) -> str:
    now = transaction.now_ms
    newest = transaction.one(
        "SELECT id, code_hash FROM versions WHERE workflow_id=? ORDER BY modified_on DESC, rowid DESC LIMIT 1",
        (workflow_id,),
    )
    if newest is not None and newest[1] == wanted.code_hash:
        version_id: str = newest[0]
        return version_id
    row = transaction.one(
        "INSERT INTO versions VALUES(?,?,?,?,?,?) ON CONFLICT(workflow_id, code_hash)"
        " DO UPDATE SET modified_on=excluded.modified_on RETURNING id",
        (new_id(), workflow_id, wanted.class_name, wanted.code_hash, now, now),
    )
    assert row is not None
    new_version_id: str = row[0]
    return new_version_id


def forget_workflow(transaction: Transaction, workflow_id: str) -> None:
    """Its own rows; its instances must be gone."""
    for table in ("versions", "metrics", "totals", "tallies", "fired"):
        transaction.execute(f"DELETE FROM {table} WHERE workflow_id=?", (workflow_id,))
    transaction.execute("DELETE FROM workflows WHERE id=?", (workflow_id,))
