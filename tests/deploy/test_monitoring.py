"""deploy/monitoring: rules that Prometheus takes and that fire when they should, and a dashboard of what there is."""

import json
import re
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from server.cli.main import COMMANDS
from server.domain.meters import JOB_FAILURES, POOL_SIZE, POOL_USED, SEALING, ProcessMeters
from server.domain.operation import health
from server.domain.operation.health import Health
from server.domain.operation.metrics import InstanceMetrics
from server.storage.outside import Answer
from tests import parts
from tests.world import World

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES, DASHBOARD = MONITORING / "alerts.yml", MONITORING / "grafana.json"
RUNBOOKS = ROOT / "deploy" / "runbooks.md"
METRIC = re.compile(r"\bweightgate_[a-z_]+[a-z]\b")
AT_MINUTE = 90

# Each alarm with series that raise it, and such that do not, a value a minute as promtool writes them: `0x90` is a 0,
# ninety times again. `time()` is the minute in seconds, from 0 on.
FIRES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "WeightgateMetricsAway": ({'up{job="weightgate"}': "0x90"}, {'up{job="weightgate"}': "1x90"}),
    "WeightgateWebAway": (
        {'weightgate_processes{kind="web"}': "0x90"},
        {'weightgate_processes{kind="web"}': "2x90", 'weightgate_processes{kind="publisher"}': "0x90"},
    ),
    "WeightgateNothingIssued": ({"weightgate_ready": "0x90"}, {"weightgate_ready": "1x89 0"}),
    "WeightgateDatabaseAway": ({"weightgate_database_up": "0x90"}, {"weightgate_database_up": "1x89 0"}),
    "WeightgateLogStopped": (
        {'weightgate_log_stopped{instance="a"}': "0x89 1", 'weightgate_log_stopped{instance="b"}': "0x90"},
        {"weightgate_log_stopped": "0x90"},
    ),
    "WeightgateLogNotSealed": (
        {"weightgate_log_oldest_unsealed_age_seconds": "0x89 16"},
        {"weightgate_log_oldest_unsealed_age_seconds": "3x90"},
    ),
    "WeightgateLogNotAnchored": (
        {"weightgate_log_anchor_timestamp_seconds": "4000x90"},
        {"weightgate_log_anchor_timestamp_seconds": "0+60x90"},
    ),
    "WeightgateLogNotMirrored": (
        {"weightgate_log_mirror_timestamp_seconds": "4000x90"},
        {"weightgate_log_mirror_timestamp_seconds": "0+60x90"},
    ),
    "WeightgateWitnessAway": ({"weightgate_witnesses_away": "1x90"}, {"weightgate_witnesses_away": "0x85 1x4"}),
    "WeightgateWitnessContradicts": (
        {"weightgate_witnesses_contradicting": "0x89 1"},
        {"weightgate_witnesses_contradicting": "0x90"},
    ),
    "WeightgateWorkerAway": (
        {"weightgate_worker_heartbeat_timestamp_seconds": "5200x90"},
        {
            'weightgate_worker_heartbeat_timestamp_seconds{instance="a"}': "0+60x90",
            'weightgate_worker_heartbeat_timestamp_seconds{instance="b"}': "0x90",
        },
    ),
    "WeightgateJobFails": (
        {'weightgate_worker_job_failures_total{name="mail"}': "0+2x90"},
        {
            'weightgate_worker_job_failures_total{name="mail"}': "0x80 2x9",
            'weightgate_worker_job_failures_total{name="seal"}': "0x80 3x9",
        },
    ),
    "WeightgateStoreAway": ({"weightgate_store_up": "0x90"}, {"weightgate_store_up": "1x89 0"}),
    "WeightgateClocksDiffer": (
        {'weightgate_clock_skew_seconds{clock="store"}': "-6x90"},
        {'weightgate_clock_skew_seconds{clock="store"}': "-4x90"},
    ),
    "WeightgateDiskAlmostFull": (
        {'weightgate_disk_free_bytes{folder="data"}': "1000000000x90"},
        {'weightgate_disk_free_bytes{folder="data"}': "2000000000x90"},
    ),
    "WeightgateDiskFilling": (
        {
            'weightgate_disk_free_bytes{folder="data"}': "20000000000-100000000x90",
            'weightgate_disk_size_bytes{folder="data"}': "100000000000x90",
        },
        {
            'weightgate_disk_free_bytes{folder="data"}': "20000000000-1000000x90",
            'weightgate_disk_size_bytes{folder="data"}': "100000000000x90",
        },
    ),
    "WeightgatePoolUsedUp": (
        {
            'weightgate_database_pool_connections_in_use{process="web"}': "30x90",
            'weightgate_database_pool_connections_max{process="web"}': "32x90",
        },
        {
            'weightgate_database_pool_connections_in_use{process="web"}': "16x90",
            'weightgate_database_pool_connections_max{process="web"}': "32x90",
        },
    ),
    "WeightgateUnavailable": (
        {'weightgate_unavailable_total{reason="store"}': "0x80 1+1x9"},
        {'weightgate_unavailable_total{reason="store"}': "9x80 12x9"},
    ),
    "WeightgateErrors": (
        {"weightgate_unexpected_errors_total": "0x85 1x4"},
        {"weightgate_unexpected_errors_total": "7x90"},
    ),
    "WeightgateSlow": (
        {
            'weightgate_request_seconds_bucket{route="downloads.create",le="1.0"}': "0+8x90",
            'weightgate_request_seconds_bucket{route="downloads.create",le="2.5"}': "0+10x90",
            'weightgate_request_seconds_bucket{route="downloads.create",le="+Inf"}': "0+10x90",
        },
        {
            'weightgate_request_seconds_bucket{route="downloads.create",le="1.0"}': "0+10x90",
            'weightgate_request_seconds_bucket{route="downloads.create",le="+Inf"}': "0+10x90",
            'weightgate_request_seconds_bucket{route="stages.show",le="1.0"}': "0+1x90",
            'weightgate_request_seconds_bucket{route="stages.show",le="+Inf"}': "0+10x90",
        },
    ),
    "WeightgateManyBadCredentials": (
        {'weightgate_refusals_total{code="invalid_credentials"}': "0+90x90"},
        {
            'weightgate_refusals_total{code="invalid_credentials"}': "0+30x90",
            'weightgate_refusals_total{code="not_cleared"}': "0+600x90",
        },
    ),
    "WeightgateDownloadAlarm": (
        {
            'weightgate_alarms_total{kind="ghost_read",instance="a"}': "0x85 1x4",
            'weightgate_alarms_total{kind="ghost_read",instance="b"}': "0x85 1x4",
        },
        {'weightgate_alarms_total{kind="ghost_read"}': "4x90"},
    ),
    "WeightgateNotReconciled": (
        {"weightgate_reconciliation_timestamp_seconds": "-170000x90"},
        {"weightgate_reconciliation_timestamp_seconds": "0x90"},
    ),
    "WeightgateEmailsWait": (
        {"weightgate_outbox_oldest_age_seconds": "3601x90"},
        {"weightgate_outbox_oldest_age_seconds": "3599x90"},
    ),
}  # fmt: skip


def promtool(*arguments: object, text: bytes = b"") -> str:
    """Run promtool, which must find nothing wrong; return what it says."""
    if parts.PROMTOOL is None:
        parts.missing("prometheus")
    done = subprocess.run([parts.PROMTOOL, *map(str, arguments)], input=text, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def alarms() -> list[str]:
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def test_prometheus_takes_the_rules_and_the_example(tmp_path: Path) -> None:
    """As the guide has them copied: the rules beside the configuration that names them."""
    (tmp_path / "weightgate-alerts.yml").write_bytes(RULES.read_bytes())
    (tmp_path / "prometheus.yml").write_bytes((MONITORING / "prometheus.yml").read_bytes())
    assert f"SUCCESS: {len(alarms())} rules found" in promtool("check", "config", tmp_path / "prometheus.yml")


def test_each_alarm_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    """On series of its own, by promtool: one test that raises it, and one like it that does not."""
    assert sorted(FIRES) == sorted(alarms())
    tests = []
    for alarm, both in FIRES.items():
        for fires, series in zip((1, 0), both, strict=True):
            tests.append(
                {
                    "name": f"{alarm} {fires}",
                    "interval": "1m",
                    "input_series": [{"series": name, "values": values} for name, values in series.items()],
                    "promql_expr_test": [
                        {
                            "expr": f'max(ALERTS{{alertname="{alarm}",alertstate="firing"}}) or vector(0)',
                            "eval_time": f"{AT_MINUTE}m",
                            "exp_samples": [{"value": fires, "labels": "{}"}],
                        }
                    ],
                }
            )
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": [str(RULES)], "tests": tests}))  # JSON is YAML
    promtool("test", "rules", tmp_path / "test.yml")


@pytest.fixture
def exposed(sqlite_world: World, tmp_path: Path) -> bytes:
    """The metrics of an instance that has everything that can be told of."""
    counting = ProcessMeters(tmp_path / "metrics", "web")
    for metric in (POOL_USED, POOL_SIZE):
        counting.watch(metric, "web", lambda: 1.0)
    counting.observe(SEALING, 0.2)
    counting.add(JOB_FAILURES, "mail")
    sqlite_world.use.meters = counting
    sqlite_world.api("POST", "/downloads", json={"stage": "gpt-2/774M"})
    counting.write()
    found = Health(sqlite_world.use).look()
    assert found.log is not None
    found.log.anchored_at = found.log.beat_at = found.log.mirrored_at = found.at
    outside = {health.STORE: Answer(True, 0.5)}
    metrics = InstanceMetrics(tmp_path / "metrics", "sqlite")
    metrics.look = replace(found, outside=outside, reconciled_at=found.at - timedelta(days=1))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    return generate_latest(registry)


def test_promtool_finds_nothing_wrong_with_the_metrics(exposed: bytes) -> None:
    """Names, units, help and types are as Prometheus' conventions want them."""
    assert promtool("check", "metrics", text=exposed) == ""


def test_rules_and_dashboard_name_only_metrics_that_there_are(exposed: bytes) -> None:
    """A name that was changed in the program alone would leave an alarm that never fires, and an empty panel."""
    there = set(re.findall(r"^(weightgate_\w+)", exposed.decode(), re.MULTILINE))
    for path in (RULES, DASHBOARD, RUNBOOKS):
        named = set(METRIC.findall(path.read_text()))
        assert named, path
        assert {name for name in named if not {name, f"{name}_bucket"} & there} == set(), path
    titles = {panel["title"] for panel in json.loads(DASHBOARD.read_text())["panels"]}
    assert len(titles) > 10


def slug(title: str) -> str:
    """A section's anchor, as Markdown viewers make it."""
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def test_every_alarm_and_part_has_its_section_in_the_runbooks() -> None:
    """And no section is there that nothing leads to."""
    sections = {slug(title) for title in re.findall(r"^## (.*)$", RUNBOOKS.read_text(), re.MULTILINE)}
    linked = re.findall(r"runbook_url: file:///opt/weightgate/deploy/runbooks\.md#([\w-]+)$", RULES.read_text(), re.M)
    assert len(linked) == len(alarms())
    by_parts = {what_to_do.rpartition("#")[2] for _, what_to_do in health._CHECKS.values()}
    assert {*linked} | by_parts == sections


def test_commands_of_the_runbooks_exist() -> None:
    """Each section has commands, and each of ours among them is one."""
    text = RUNBOOKS.read_text()
    given = re.findall(r"weightgate-server ([a-z-]+)", text)
    assert set(given) <= set(COMMANDS)
    assert all("*Means:*" in section for section in text.split("\n## ")[1:])
