"""Lint and render the chart with Helm's own library, and hold what comes out against Kubernetes' schemas.

usage: python render_chart.py CHART < VALUES   (in an environment made from helm.txt)

Prints {"lint": [message, …], "invalid": [message, …], "objects": [object, …]}; exit 1 with Helm's words when the values
cannot be rendered. Nothing here imports the server.
"""

import json
import sys
from pathlib import Path

import helm_python  # type: ignore[import-not-found]
import kubernetes_validate  # type: ignore[import-not-found]
import yaml

VERSION = "1.37"
HINT = "icon is recommended"


def main() -> int:
    """Everything of one chart and one set of values."""
    folder, values = Path(sys.argv[1]), json.load(sys.stdin)
    lint = [one["error"] for one in helm_python.lint(str(folder))["messages"] if HINT not in one["error"]]
    try:
        with helm_python.Chart.load(str(folder)) as chart:
            chart.validate_schema(values)
            rendered = chart.render(values, name="wg", namespace="weights")
    except helm_python.HelmError as error:
        print(error, file=sys.stderr)
        return 1
    objects = [one for text in rendered.values() for one in yaml.safe_load_all(text) if one]
    invalid = []
    for one in objects:
        try:
            kubernetes_validate.validate(one, VERSION, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            invalid.append(str(error))
    json.dump({"lint": lint, "invalid": invalid, "objects": objects}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
