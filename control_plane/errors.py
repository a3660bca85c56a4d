"""Every refusal of the deploy API as one small tree, those included that any API has.

    ApiError
    ├─ what can't be read      BodyUnreadable 400, BodyTooLarge 413, BodyTooSlow 408, ValueRefused 400,
    │                          KeyValueInvalid 400
    ├─ who may not             Unauthenticated 401, Forbidden 403, UploadTokenRefused 401
    ├─ what isn't there        UnknownRoute 404, MethodRefused 405, UnknownProject 404, UnknownDeployment 404,
    │                          UnknownDomain 404, UnknownToken 404, NoFunction 404, UnknownNamespace 404,
    │                          UnknownKey 404
    ├─ what stands against it  NameTaken, DomainTaken, DeploymentInUse, NotRollbackable, ProductionBranchChanged: 409
    ├─ what a deploy lacks     ManifestMissing 400, ManifestRefused 400, AssetRefused 400, FunctionRefused 400,
    │                          FunctionUnstarted 400
    └─ what we lack            StorageFull 507, StorageFailed 503, Busy 503, StorageDamaged 500, Defect 500

Codes are part of the contract. wrangler gives three of them a meaning of its own: 8000007 (the project doesn't
exist), 8000013 (fetch a new upload token and try again, without any limit) and 8000000 (post the deployment again).
When an upload fails for good, it exits with the code modulo 256, so no code here is a multiple of 256.
"""

from envelope.errors import ApiError as ApiError
from envelope.errors import BodyTooLarge as BodyTooLarge
from envelope.errors import BodyTooSlow as BodyTooSlow
from envelope.errors import BodyUnreadable as BodyUnreadable
from envelope.errors import Busy as Busy
from envelope.errors import Forbidden as Forbidden
from envelope.errors import MethodRefused as MethodRefused
from envelope.errors import Unauthenticated as Unauthenticated
from envelope.errors import UnknownRoute as UnknownRoute
from envelope.errors import ValueRefused as ValueRefused


class UploadTokenRefused(ApiError):
    """Raised only where a fresh upload token will help: wrangler fetches one and tries again, for ever."""

    status, code = 401, 8000013

    def __init__(self) -> None:
        super().__init__("the upload token is missing, expired or not valid here; get a new one from …/upload-token")


class UnknownProject(ApiError):
    """Also the answer about projects that exist but aren't the token's: the two must not be told apart."""

    status, code = 404, 8000007

    def __init__(self) -> None:
        super().__init__("there is no project of that name; 'onehop site list' shows those there are")


class UnknownDeployment(ApiError):
    status, code = 404, 8000009

    def __init__(self) -> None:
        super().__init__("no such deployment in this project; 'onehop deployment list' shows those there are")


class UnknownDomain(ApiError):
    status, code = 404, 8000021

    def __init__(self) -> None:
        super().__init__("this project has no such custom domain")


class UnknownToken(ApiError):
    status, code = 404, 8000022

    def __init__(self) -> None:
        super().__init__("no such token; 'onehop token list' shows those there are")


class NoFunction(ApiError):
    """A deployment without a function says nothing."""

    status, code = 404, 8000023

    def __init__(self, short_id: str) -> None:
        super().__init__(f"deployment {short_id} has no function, so there is nothing to tail")


class UnknownNamespace(ApiError):
    status, code = 404, 10013

    def __init__(self) -> None:
        super().__init__("namespace not found; 'wrangler kv namespace list' shows those there are")


class UnknownKey(ApiError):
    status, code = 404, 10009

    def __init__(self) -> None:
        super().__init__("key not found")


class KeyValueInvalid(ApiError):
    """A key, value, end or title that can't be taken."""

    status, code = 400, 10033


class NameTaken(ApiError):
    status, code = 409, 8000002

    def __init__(self, name: str) -> None:
        super().__init__(f"a project named {name} already exists; choose another name")


class DomainTaken(ApiError):
    status, code = 409, 8000018

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is already a custom domain here; remove it from its project first")


class DeploymentInUse(ApiError):
    """A deployment that a changing host shows can't be deleted, or only by force."""

    status, code = 409, 8000034


class NotRollbackable(ApiError):
    status, code = 409, 8000039


class ProductionBranchChanged(ApiError):
    """While a deploy was under way, so that it was made for another environment than it would now go to."""

    status, code = 409, 8000040

    def __init__(self, branch: str) -> None:
        super().__init__(f"the project's production branch has just become {branch}; deploy again")


class ManifestMissing(ApiError):
    status, code = 400, 8000096

    def __init__(self) -> None:
        super().__init__("the form has no 'manifest' part; it maps each path to its asset's hash")


class ManifestRefused(ApiError):
    status, code = 400, 8000097


class AssetRefused(ApiError):
    status, code = 400, 8000098


class FunctionRefused(ApiError):
    """The worker bundle or its `_routes.json` can't be taken."""

    status, code = 400, 8000099


class FunctionUnstarted(ApiError):
    """The worker bundle is well-formed, but ends with an error when it is loaded."""

    status, code = 400, 8000101

    def __init__(self, problem: str) -> None:
        super().__init__(f"Failed to publish your Function. Got error: {problem}")


class StorageFull(ApiError):
    status, code = 507, 8000507

    def __init__(self) -> None:
        super().__init__(
            "the server's disk is full: nothing was changed and sites are served on; free space there "
            "('onehop gc' collects what no deployment needs), then try again"
        )


class StorageFailed(ApiError):
    status, code = 503, 8000503

    def __init__(self) -> None:
        super().__init__("the server can't write to its data folder: nothing was changed; its log has the reason")


def not_shown(count: int, what: str) -> tuple[tuple[int, str], ...]:
    """What a list says of `count` of its rows that can't be read: a message's code and text, or nothing."""
    if not count:
        return ()
    text = f"not shown, since they can't be read: {count} of the {what}; 'onehop check' on the server says more"
    return ((StorageDamaged.code, text),)


class StorageDamaged(ApiError):
    status, code = 500, 8000505

    def __init__(self) -> None:
        super().__init__("what the server has stored of this can't be read; its operator finds out with 'onehop check'")


class Defect(ApiError):
    """Something that no one foresaw; the log has it."""

    status, code = 500, 8000500

    def __init__(self) -> None:
        super().__init__("the server failed at this request; nothing half-done is visible, its log has the reason")
