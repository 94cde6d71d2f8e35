"""A CloudFormation template, its functions resolved with a test's parameters. Source: CloudFormation User Guide,
"Intrinsic function reference"; only the functions that our template uses, and each other one is an error.
"""

import re
from pathlib import Path
from typing import Any

import yaml

PSEUDO = {
    "AWS::AccountId": "111122223333", "AWS::Partition": "aws", "AWS::Region": "eu-central-1",
    "AWS::StackName": "weightgate", "AWS::URLSuffix": "amazonaws.com",
}  # fmt: skip
NOTHING = object()  # AWS::NoValue: whatever it stands for is not there
_IN_SUB = re.compile(r"\$\{([^!}][^}]*)\}")


class _Loader(yaml.SafeLoader):
    """Reads the short forms (`!Ref`) as the long ones."""


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _tagged)


class Stack:
    """What a template makes with these parameters. resources: by their names in the template, resolved."""

    def __init__(self, path: Path, **parameters: str) -> None:
        self._template = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # a SafeLoader
        defaults = {name: str(told.get("Default", "")) for name, told in self._template["Parameters"].items()}
        unknown = parameters.keys() - defaults.keys()
        assert unknown == set(), unknown
        self._values = PSEUDO | defaults | parameters
        self.resources = {
            name: self.resolved(told)
            for name, told in self._template["Resources"].items()
            if "Condition" not in told or self._holds(told["Condition"])
        }
        self.outputs = {
            name: self.resolved(told["Value"])
            for name, told in self._template["Outputs"].items()
            if "Condition" not in told or self._holds(told["Condition"])
        }

    def of_type(self, kind: str) -> dict[str, Any]:
        """The properties of every resource of a type."""
        return {name: told.get("Properties", {}) for name, told in self.resources.items() if told["Type"] == kind}

    def resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [made for each in value if (made := self.resolved(each)) is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and ((name := next(iter(value))).startswith("Fn::") or name == "Ref"):
            return self._called(name, value[name])
        made = {key: self.resolved(each) for key, each in value.items()}
        return {key: each for key, each in made.items() if each is not NOTHING}

    def _called(self, name: str, value: Any) -> Any:
        match name:
            case "Ref":
                return NOTHING if value == "AWS::NoValue" else self._ref(value)
            case "Fn::GetAtt":
                return self._attribute(*value)
            case "Fn::Sub":
                return _IN_SUB.sub(lambda found: self._in_sub(found[1]), value)
            case "Fn::If":
                return self.resolved(value[1] if self._holds(value[0]) else value[2])
            case "Fn::Join":
                return str(value[0]).join(self.resolved(value[1]))
        raise AssertionError(name)

    def _in_sub(self, text: str) -> str:
        return self._attribute(*text.split(".", 1)) if "." in text else self._ref(text)

    def _ref(self, name: str) -> str:
        if name in self._values:
            return str(self._values[name])
        told = self._template["Resources"][name]
        return str(self.resolved(told["Properties"].get("BucketName", name))) if "Properties" in told else name

    def _attribute(self, name: str, attribute: str) -> str:
        """ARNs as AWS forms them; of the rest, something that is like nothing else."""
        told, account = self._template["Resources"][name], PSEUDO["AWS::AccountId"]
        if attribute != "Arn":
            return f"{name}-{attribute}"
        own = str(self.resolved(told["Properties"].get("RoleName", f"weightgate-{name}")))
        known = {
            "AWS::S3::Bucket": f"arn:aws:s3:::{self._ref(name)}",
            "AWS::IAM::Role": f"arn:aws:iam::{account}:role/{own}",
            "AWS::IAM::User": f"arn:aws:iam::{account}:user/weightgate-{name}",
            "AWS::KMS::Key": f"arn:aws:kms:eu-central-1:{account}:key/{name}",
        }
        return known[told["Type"]]

    def _holds(self, condition: Any) -> bool:
        """A condition by its name, or a function of conditions."""
        if isinstance(condition, str):
            return self._holds(self._template["Conditions"][condition])
        ((name, value),) = condition.items()
        match name:
            case "Condition":
                return self._holds(value)
            case "Fn::Equals":
                first, second = self.resolved(value)
                return str(first) == str(second)
            case "Fn::Not":
                return not self._holds(value[0])
            case "Fn::Or":
                return any(self._holds(each) for each in value)
            case "Fn::And":
                return all(self._holds(each) for each in value)
        raise AssertionError(name)
