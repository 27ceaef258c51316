"""Which permissions operations need, and the smallest predefined role that has each.

Source: https://cloud.google.com/pubsub/docs/access-control
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CONSUME = "pubsub.subscriptions.consume"
"""Pull, acknowledge, change a lease, seek."""

PUBLISH = "pubsub.topics.publish"

ATTACH = "pubsub.topics.attachSubscription"
"""Make a subscription of a topic."""

SEEK_TO = "pubsub.snapshots.seek"
"""Move a subscription to a snapshot."""

ROLES = {
    CONSUME: "roles/pubsub.subscriber",
    PUBLISH: "roles/pubsub.publisher",
    ATTACH: "roles/pubsub.subscriber",
    SEEK_TO: "roles/pubsub.subscriber",
    "pubsub.subscriptions.get": "roles/pubsub.viewer",
    "pubsub.topics.get": "roles/pubsub.viewer",
    "pubsub.snapshots.get": "roles/pubsub.viewer",
    "pubsub.subscriptions.create": "roles/pubsub.editor",
    "pubsub.subscriptions.delete": "roles/pubsub.editor",
    "pubsub.topics.create": "roles/pubsub.editor",
}
"""Permission -> role."""

Needs = Mapping[str, Sequence[str]]
"""Resource -> permissions."""


def get(name: str) -> str:
    """The permission to look at a resource."""
    return f"pubsub.{_collection(name)}.get"


def of(operation: str, name: str) -> str:
    """The permission for an operation on a resource, as errors name the operation."""
    if operation in ("check", "create", "delete"):
        verb = "get" if operation == "check" else operation
        return f"pubsub.{_collection(name)}.{verb}"
    return PUBLISH if operation == "publish" else CONSUME


def lacking(operation: str, name: str, permissions: Sequence[str]) -> str:
    """The line of an error: what is missing, and what to grant."""
    what = "permission" if len(permissions) == 1 else "permissions"
    is_ = "is" if len(permissions) == 1 else "are"
    roles = [f"{ROLES[permission]} on {_where(permission)}" for permission in permissions]
    return (
        f"{operation} {name}: {what} {' and '.join(permissions)} {is_} missing for this account; "
        f"grant it {' and '.join(dict.fromkeys(roles))}"
    )


def _collection(name: str) -> str:
    """`topics`, `subscriptions` or `snapshots`."""
    return name.split("/")[2]


def _where(permission: str) -> str:
    """What the role is granted on: a resource that is made or deleted here has no policy yet."""
    _, collection, verb = permission.split(".")
    return "the project" if verb in ("create", "delete") else f"the {collection.removesuffix('s')}"
