"""infra/prefect: compose's schema takes the server, Prefect's models the automations."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.server.events.schemas.automations import AutomationCore as ServersAutomation
from prefect.settings import get_current_settings
from prefect.settings.models.root import Settings
from pydantic import SecretStr, ValidationError

from infra.fill import filled
from tests.architecture.closure import ROOT

PREFECT = ROOT / "infra/prefect"
COMPOSE = (PREFECT / "compose.yaml").read_text(encoding="utf-8")
AUTOMATIONS = filled(
    (PREFECT / "automations.yaml").read_text(encoding="utf-8"),
    {"NOTIFICATION_BLOCK": str(uuid4())},
)


def compose_problems(folder: Path, text: str) -> str:
    """What the schema of compose files says, nothing where all is well."""
    file = folder / "compose.yaml"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(file)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_compose_takes_the_server(tmp_path: Path) -> None:
    assert compose_problems(tmp_path, COMPOSE) == ""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("services:", "sevices:", "sevices"),
        ("    restart: unless-stopped", "    restarts: always", "restarts"),
        ("interval: 5s", "intervall: 5s", "intervall"),
        ('ports: ["127.0.0.1:4200:4200"]', "ports: 4200", "ports"),
    ],
)
def test_compose_refuses_a_planted_mistake(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in COMPOSE
    assert told in compose_problems(tmp_path, COMPOSE.replace(old, new))


def test_only_loopback_reaches_the_server_and_nobody_the_database() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    assert all(port.startswith("127.0.0.1:") for port in services["server"]["ports"])
    assert "ports" not in services["database"]
    assert yaml.safe_load(COMPOSE)["networks"]["inside"] == {"internal": True}


def test_the_server_demands_a_password_that_stands_in_no_file() -> None:
    content = yaml.safe_load(COMPOSE)
    started = content["services"]["server"]["command"][-1]
    assert 'PREFECT_SERVER_API_AUTH_STRING="$$(cat /run/secrets/prefect_auth)"' in started
    assert "export PREFECT_SERVER_DATABASE_PASSWORD PREFECT_SERVER_API_AUTH_STRING" in started
    assert all(set(secret) == {"file"} for secret in content["secrets"].values())
    for service in content["services"].values():
        named = {name for name in service["environment"] if re.search("PASSWORD|AUTH", name)}
        assert all(name.endswith("_FILE") for name in named)


def test_the_server_reads_its_settings_as_they_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    service = yaml.safe_load(COMPOSE)["services"]["server"]
    exported = re.findall(r"(PREFECT_\w+)=", service["command"][-1])
    for name, value in {**service["environment"], **dict.fromkeys(exported, "horse")}.items():
        monkeypatch.setenv(name, value)
    server = Settings().server
    assert server.api.auth_string == SecretStr("horse")
    assert (server.database.host, server.database.user) == ("database", "prefect")
    assert server.database.password == SecretStr("horse")
    assert server.database.driver == "postgresql+asyncpg"
    assert server.analytics_enabled is False
    assert str(server.ui.static_directory).startswith("/tmp")  # the rest cannot be written
    assert str(Settings().home).startswith("/tmp")
    assert server.ui.api_url == "http://127.0.0.1:4200/api"


def automations(text: str = AUTOMATIONS) -> list[AutomationCore]:
    """As `prefect automation create --from-file` reads them, and then the server."""
    read = [AutomationCore.model_validate(each) for each in yaml.safe_load(text)["automations"]]
    for each in read:
        ServersAutomation.model_validate(each.model_dump(mode="json"))
    return read


def test_prefect_takes_the_automations() -> None:
    zombies, failures = automations()
    assert isinstance(zombies.trigger, EventTrigger)
    assert zombies.trigger.posture == Posture.Proactive
    frequency = get_current_settings().flows.heartbeat_frequency
    assert frequency is not None
    assert zombies.trigger.within.total_seconds() >= 2 * frequency
    assert [action.type for action in zombies.actions] == ["change-flow-run-state"]
    assert [action.type for action in failures.actions] == ["send-notification"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("posture: Proactive", "posture: Proactively"),
        ("type: change-flow-run-state", "type: change-run-state"),
        ("state: CRASHED", "state: DEAD"),
        ("within: 540", "within: 5"),
        ("block_document_id:", "block_id:"),
        ("trigger:", "triger:"),
    ],
)
def test_prefect_refuses_a_planted_mistake(old: str, new: str) -> None:
    assert old in AUTOMATIONS
    with pytest.raises(ValidationError):
        automations(AUTOMATIONS.replace(old, new))


def test_the_messages_are_templates_that_prefect_can_fill_in() -> None:
    wrong: Any = yaml.safe_load(AUTOMATIONS)["automations"][1]
    wrong["actions"][0]["body"] = "{{ flow_run.name"
    with pytest.raises(ValidationError, match="body"):
        ServersAutomation.model_validate(wrong)
