"""Who am I, and for which account: what clients ask before they do anything. There is one account."""

from typing import Final

from control_plane.endpoints import AccountCall
from control_plane.plane import ControlPlane
from envelope.answers import Page
from router.records import JsonObject

ACCOUNT_NAME: Final = "Onehop"


async def list_memberships(plane: ControlPlane, call: AccountCall) -> Page:
    membership = {
        "id": plane.account_id,
        "status": "accepted",
        "roles": [call.caller.access.word],
        "account": account_document(plane),
    }
    return one_page(call, membership)


async def list_accounts(plane: ControlPlane, call: AccountCall) -> Page:
    return one_page(call, account_document(plane))


async def show_user(plane: ControlPlane, call: AccountCall) -> JsonObject:
    """Tokens belong to nobody in particular; their name stands for whoever has them."""
    return {"id": call.caller.id, "email": f"{call.caller.id}@{plane.names.pages_domain}", "username": call.caller.name}


async def verify_token(plane: ControlPlane, call: AccountCall) -> JsonObject:
    return {"id": call.caller.id, "status": "active"}


def account_document(plane: ControlPlane) -> JsonObject:
    return {"id": plane.account_id, "name": ACCOUNT_NAME, "type": "standard"}


def one_page(call: AccountCall, item: JsonObject) -> Page:
    page, per_page = call.paging()
    return Page([item] if page == 1 else [], page=page, per_page=per_page, total_count=1)
