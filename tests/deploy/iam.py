"""Whether AWS would allow an act, by its documented logic. Source: IAM User Guide, "Policy evaluation logic" and "IAM
JSON policy elements"; only the elements and operators that our policies use, and each other one is an error.

Explicit deny before allow before default deny. Within one account an allow of either the identity or the resource is
enough; of a service, or of another account, the resource has to allow it. A session's policy only narrows.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Policy = Mapping[str, Any]
Context = Mapping[str, str]  # condition keys in lower case

_NEGATED = {"StringNotEquals": "StringEquals", "ArnNotEquals": "ArnLike", "StringNotLike": "StringLike"}


@dataclass(frozen=True)
class Asker:
    """Who acts. arn: of a user or role. service: of AWS. identity: its own policies; session: those of its session."""

    arn: str | None = None
    account: str | None = None
    service: str | None = None
    identity: Sequence[Policy] = ()
    session: Sequence[Policy] | None = None


@dataclass(frozen=True)
class Act:
    """One request. resource: the policies on what it is about; None where there are none."""

    asker: Asker
    action: str
    resource: str
    context: Context = field(default_factory=dict)


def is_allowed(act: Act, on_resource: Policy | None, account: str, *, resource_decides: bool = False) -> bool:
    """on_resource: the policy of the bucket, key or role. account: whose it is.

    resource_decides: an allow of the identity counts only where the resource delegates to its account (KMS, trust).
    """
    own = list(act.asker.identity)
    policies = [*own, *([] if on_resource is None else [on_resource]), *(act.asker.session or ())]
    if any(_says("Deny", policy, act, is_resource=policy is on_resource) for policy in policies):
        return False
    by_identity = any(_says("Allow", policy, act) for policy in own)
    by_resource = on_resource is not None and _says("Allow", on_resource, act, is_resource=True)
    if act.asker.session is not None:
        in_session = any(_says("Allow", policy, act) for policy in act.asker.session)
        return by_identity and in_session
    if act.asker.service is not None:
        return by_resource
    if act.asker.account != account:
        return by_resource and by_identity
    if resource_decides:
        delegates = on_resource is not None and _delegates(on_resource, act, account)
        return by_resource and (by_identity or not delegates)
    return by_identity or by_resource


def _delegates(policy: Policy, act: Act, account: str) -> bool:
    """Whether all that the resource says of them is that their account decides."""
    root = f"arn:aws:iam::{account}:root"
    allowing = [one for one in _statements(policy) if one["Effect"] == "Allow" and _matches(one, act, is_resource=True)]
    return all(
        _listed(one["Principal"].get("AWS", [])) == [root] for one in allowing if isinstance(one["Principal"], dict)
    )


def _says(effect: str, policy: Policy, act: Act, *, is_resource: bool = False) -> bool:
    return any(one["Effect"] == effect and _matches(one, act, is_resource) for one in _statements(policy))


def _statements(policy: Policy) -> list[dict[str, Any]]:
    assert policy["Version"] == "2012-10-17"
    known = {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
    for statement in policy["Statement"]:
        assert statement.keys() <= known, statement.keys() - known
    return list(policy["Statement"])


def _matches(statement: dict[str, Any], act: Act, is_resource: bool) -> bool:
    if is_resource and not _is_about(statement, act.asker):
        return False
    if "NotAction" in statement:
        is_act = not _any_like(act.action.lower(), [one.lower() for one in _listed(statement["NotAction"])])
    else:
        is_act = _any_like(act.action.lower(), [one.lower() for one in _listed(statement["Action"])])
    if "NotResource" in statement:
        is_there = not _any_like(act.resource, _listed(statement["NotResource"]))
    else:
        is_there = _any_like(act.resource, _listed(statement.get("Resource", "*")))
    context = context_of(act)
    conditions = statement.get("Condition", {})
    return is_act and is_there and all(
        _holds(operator, key, _listed(values), context)
        for operator, keys in conditions.items()
        for key, values in keys.items()
    )  # fmt: skip


def _is_about(statement: dict[str, Any], asker: Asker) -> bool:
    if "NotPrincipal" in statement:
        return not _is_one_of(statement["NotPrincipal"], asker)
    return _is_one_of(statement["Principal"], asker)


def _is_one_of(principal: Any, asker: Asker) -> bool:
    if principal == "*" or principal == {"AWS": "*"}:
        return True
    if asker.service is not None:
        return asker.service in _listed(principal.get("Service", []))
    named = {asker.arn, f"arn:aws:iam::{asker.account}:root", asker.account}
    return asker.arn is not None and bool(named & set(_listed(principal.get("AWS", []))))


def context_of(act: Act) -> dict[str, str]:
    """What AWS itself knows of who asks; of somebody unknown, nothing."""
    asker, known = act.asker, {name.lower(): value for name, value in act.context.items()}
    if asker.service is not None:
        return {"aws:principalisawsservice": "true", "aws:principalservicename": asker.service} | known
    if asker.arn is None:
        return {"aws:principalisawsservice": "false"} | known
    own = {"aws:principalarn": asker.arn, "aws:principalaccount": str(asker.account)}
    return own | {"aws:principalisawsservice": "false"} | known


def _holds(operator: str, key: str, values: list[str], context: Context) -> bool:
    """A missing key: `…IfExists` and negated operators hold, others do not, and Null asks for just that."""
    found = context.get(key.lower())
    if operator == "Null":
        return (found is None) == (values == ["true"])
    plain = operator.removesuffix("IfExists")
    if found is None:
        return plain != operator or plain in _NEGATED
    if plain in _NEGATED:
        return not _compares(_NEGATED[plain], found, values)
    return _compares(plain, found, values)


def _compares(operator: str, found: str, values: list[str]) -> bool:
    match operator:
        case "StringEquals":
            return found in values
        case "StringLike" | "ArnLike" | "ArnEquals":
            return _any_like(found, values)
        case "Bool":
            return found.lower() in [value.lower() for value in values]
        case "NumericGreaterThan":
            return any(float(found) > float(value) for value in values)
        case "NumericLessThan":
            return any(float(found) < float(value) for value in values)
        case "IpAddress":
            return any(ipaddress.ip_address(found) in ipaddress.ip_network(value) for value in values)
    raise AssertionError(operator)


def _any_like(text: str, patterns: list[str]) -> bool:
    return any(_like(pattern).fullmatch(text) for pattern in patterns)


def _like(pattern: str) -> re.Pattern[str]:
    """`*` stands for any text, `?` for one character, and nothing else for anything."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]
