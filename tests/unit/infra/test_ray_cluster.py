"""Ray's own launcher reads infra/ray/aws.yaml and asks a pretended EC2 (moto) for the machines."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import botocore.exceptions
import click
import jsonschema
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.providers import _NODE_PROVIDERS, _get_node_provider
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import TAG_RAY_LAUNCH_CONFIG, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE
from ray.scripts.scripts import cli as ray_command_line

from infra.fill import filled, places
from polylm_core.settings import Profile, load_profile
from tests.architecture.closure import ROOT

AWS = ROOT / "infra/ray/aws.yaml"
NOTICE = ROOT / "infra/ray/spot-notice.sh"
PRICES = ROOT / "polylm_core/cli/planning/prices.yaml"
REGION = "us-east-1"
Config = dict[str, Any]


VALUES = {
    "AWS_REGION": REGION,
    "AMI_ID": "ami-03cf127a",  # one of those that moto knows
    "SUBNET_ID": "subnet-0a",
    "SECURITY_GROUP_ID": "sg-0a",
    "EFS_ADDRESS": "10.0.0.9",
    "POLYLM_REGISTRY": "registry.example.com",
    "POLYLM_PROFILE": "cpu-cluster",
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An AWS account of this process with what the how-to has its reader make; the values of it."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir()  # Ray writes the key to its machines there
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "pretended")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("HOME", str(home))
        ec2, iam = boto3.client("ec2"), boto3.client("iam")
        network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        group = ec2.create_security_group(GroupName="polylm", Description="p", VpcId=network)
        subnet = ec2.create_subnet(VpcId=network, CidrBlock="10.0.0.0/24")["Subnet"]
        for name in ("polylm-ray-head", "polylm-ray-worker"):
            iam.create_instance_profile(InstanceProfileName=name)
        yield {
            **VALUES,
            "SUBNET_ID": subnet["SubnetId"],
            "SECURITY_GROUP_ID": group["GroupId"],
        }


def cluster(values: Mapping[str, str] = VALUES) -> Config:
    content: Config = yaml.safe_load(filled(AWS.read_text(encoding="utf-8"), values))
    return content


def prepared(config: Config) -> Config:
    """What Ray makes of a cluster's file before anything is started."""
    whole: Config = prepare_config(config)
    validate_config(whole)
    return whole


def started(config: Config, node_type: str) -> dict[str, Any]:
    """The machine that EC2 is asked for when the cluster wants one of a type."""
    whole = _NODE_PROVIDERS["aws"](config["provider"]).bootstrap_config(prepared(config))
    provider = _get_node_provider(whole["provider"], "polylm", use_cache=False)
    tags = {TAG_RAY_NODE_KIND: "worker", TAG_RAY_USER_NODE_TYPE: node_type}
    node = whole["available_node_types"][node_type]["node_config"]
    provider.create_node(node, {**tags, TAG_RAY_LAUNCH_CONFIG: "1"}, 1)
    ec2 = boto3.client("ec2")
    (machine,) = [
        instance
        for reservation in ec2.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
        if {"Key": TAG_RAY_USER_NODE_TYPE, "Value": node_type} in instance["Tags"]
    ]
    made: dict[str, Any] = machine
    return made


def test_ray_accepts_the_cluster_and_starts_it_from_zero() -> None:
    whole = prepared(cluster())
    types = whole["available_node_types"]
    assert types[whole["head_node_type"]]["resources"] == {"CPU": 0}
    assert {type_["min_workers"] for type_ in types.values()} == {0}
    assert whole["idle_timeout_minutes"] > 0
    with_gpus = [name for name, type_ in types.items() if "GPU" in type_["resources"]]
    assert len([name for name in with_gpus if types[name]["max_workers"]]) == 1
    assert set(with_gpus) <= set(yaml.safe_load(PRICES.read_text("utf-8"))["accelerators"])


@pytest.mark.parametrize(
    ("node_type", "kind", "is_spot"),
    [
        ("head", "m7i.2xlarge", False),
        ("cpu", "m7i.4xlarge", True),
        ("a100-80gb", "p4de.24xlarge", True),
        ("h100-80gb", "p5.48xlarge", True),
        ("h200-141gb", "p5en.48xlarge", True),
    ],
)
def test_ec2_is_asked_for_private_machines_and_workers_at_the_spot_price(
    account: dict[str, str], node_type: str, kind: str, is_spot: bool
) -> None:
    machine = started(cluster(account), node_type)
    assert machine["InstanceType"] == kind
    assert (machine.get("InstanceLifecycle") == "spot") is is_spot
    role = "head" if node_type == "head" else "worker"
    assert machine["IamInstanceProfile"]["Arn"].endswith(f"/polylm-ray-{role}")
    assert [group["GroupId"] for group in machine["SecurityGroups"]] == [
        account["SECURITY_GROUP_ID"]
    ]
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    assert not machine.get("PublicIpAddress")
    groups = boto3.client("ec2").describe_security_groups()["SecurityGroups"]
    incoming = [rule for group in groups for rule in group["IpPermissions"]]
    assert [rule for rule in incoming if rule.get("IpRanges")] == []  # Ray opens ssh to the world


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (lambda c: c.update(idle_timeout="5"), "idle_timeout"),
        (lambda c: c.update(idle_timeout_minutes="five"), "not of type 'number'"),
        (lambda c: c.update(head_node_type="heads"), "must be one of `available_node_types`"),
        (lambda c: c["available_node_types"]["cpu"].pop("resources"), "'resources'"),
        (lambda c: c["available_node_types"]["cpu"].update(min_worker=0), "min_worker"),
        (lambda c: c["available_node_types"]["cpu"].update(min_workers=99), "smaller than the"),
        (lambda c: c["docker"].update(images="x"), "images"),
        (lambda c: c["auth"].pop("ssh_proxy_command"), "ssh_proxy_command"),
        (lambda c: c.update(initialization_commands="mount"), "not of type 'array'"),
    ],
)
def test_ray_refuses_a_planted_mistake(mistake: Callable[[Config], object], told: str) -> None:
    config = cluster()
    mistake(config)
    with pytest.raises((ValueError, jsonschema.ValidationError), match=told):
        prepared(config)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ({"InstanceMarketOptions": {"MarkteType": "spot"}}, "MarkteType"),
        ({"MetadataOptions": {"HttpTokens": True}}, "HttpTokens"),
        ({"BlockDeviceMappings": {"DeviceName": "/dev/sda1"}}, "BlockDeviceMappings"),
        ({"InstanceTyp": "m7i.large"}, "InstanceTyp"),
    ],
)
def test_ec2_refuses_a_planted_mistake(
    account: dict[str, str], mistake: dict[str, Any], told: str
) -> None:
    config = cluster(account)
    config["available_node_types"]["cpu"]["node_config"].update(mistake)
    with pytest.raises(botocore.exceptions.ParamValidationError, match=told):
        started(config, "cpu")


def test_every_start_of_ray_asks_for_the_token_and_binds_the_dashboard_to_loopback() -> None:
    config = yaml.safe_load(AWS.read_text(encoding="utf-8"))
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        starts = [command for command in commands if "ray start" in command]
        assert starts
        assert all(command.startswith("RAY_AUTH_MODE=token ") for command in starts)
    assert "--dashboard-host=127.0.0.1" in " ".join(config["head_start_ray_commands"])
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}


def test_what_is_left_open_is_what_the_howto_exports() -> None:
    howto = (ROOT / "docs/howto/run-on-aws.md").read_text(encoding="utf-8")
    for file in (AWS, ROOT / "infra/ray/head-policy.json"):
        for name in places(file.read_text(encoding="utf-8")):
            assert re.search(rf"^export .*\b{name}=", howto, re.MULTILINE), name


def fits(profile: Profile, node_type: Config) -> list[str]:
    """Where a profile is not one of the machines of a type; all of them are at the spot price."""
    training, hardware = profile.training, profile.hardware
    resources = node_type["resources"]
    found = []
    if training.threads_per_worker * hardware.ranks_per_machine > resources["CPU"]:
        found.append("more threads than CPUs")
    if resources.get("GPU", 1) < hardware.ranks_per_machine and "GPU" in resources:
        found.append("more ranks than GPUs")
    if "GPU" not in resources and (
        training.threads_per_worker * hardware.ranks_per_machine != resources["CPU"]
    ):
        found.append("not all CPUs")
    if training.workers > hardware.ranks_per_machine:  # some machines may stay while others go
        if not (training.min_workers or training.workers) <= training.workers // 2:
            found.append("waits for every machine")
        if training.full_size_wait_seconds < 600:
            found.append("begins before machines are up")
        if hardware.accelerator and hardware.spot_share != 1:
            found.append("not at the spot price")
    return found


MACHINES = {"cpu-cluster": "cpu", "32x8-a100-spot": "a100-80gb", "1x8-a100": "a100-80gb",
            "1x8-h100": "h100-80gb", "1x1-h200": "h200-141gb"}  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_a_profile_of_the_cluster_is_one_of_its_machines_at_the_spot_price(name: str) -> None:
    types = cluster()["available_node_types"]
    profile = load_profile(ROOT / "infra/profiles", name)
    node_type = types[MACHINES[name]]
    assert fits(profile, node_type) == []
    assert node_type["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert re.search(rf"`{name}`", (ROOT / "docs/howto/run-on-aws.md").read_text("utf-8"))


def test_a_profile_that_loses_its_run_with_one_machine_is_found() -> None:
    node_type = cluster()["available_node_types"]["cpu"]
    wrong: Config = {"training": {"workers": 16, "threads_per_worker": 4}}
    wrong["hardware"] = {"ranks_per_machine": 2, "accelerator": "a100-80gb"}
    assert fits(Profile.model_validate(wrong), node_type) == [
        "not all CPUs",
        "waits for every machine",
        "begins before machines are up",
        "not at the spot price",
    ]


class Metadata(BaseHTTPRequestHandler):
    """EC2's instance metadata, which has a notice from the third time on that it is asked."""

    asked = 0

    def do_PUT(self) -> None:
        assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self._answer(200, b"session")

    def do_GET(self) -> None:
        assert self.headers["X-aws-ec2-metadata-token"] == "session"
        Metadata.asked += 1
        has_notice = Metadata.asked >= 2 and self.path.endswith("/spot/instance-action")
        self._answer(200 if has_notice else 404, b'{"action": "terminate"}')

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


FAILS_AT_FIRST = """\
echo again >> "$TOLD.{name}"
[ "$(wc -l < "$TOLD.{name}")" -gt {failures} ] || exit 1
"""
"""A program that does not do at first what it is asked, such as a Ray that is busy."""


@pytest.fixture
def metadata() -> Iterator[str]:
    """The address of EC2's metadata; the notice comes with the second question."""
    Metadata.asked = 0
    server = HTTPServer(("127.0.0.1", 0), Metadata)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def noticed(folder: Path, metadata: str, *, failures: int = 0, script: Path = NOTICE) -> list[str]:
    """What Ray is told after a notice, word by word; Ray and Python are stand-ins."""
    programs = {
        "ray": FAILS_AT_FIRST.format(name="ray", failures=failures)
        + 'printf \'%s\\n\' "$@" > "$TOLD"',
        "python": FAILS_AT_FIRST.format(name="python", failures=failures) + "echo this-node",
        "sleep": "",
    }
    for name, told in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{told}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    subprocess.run(
        ["bash", str(script), "10.0.0.5:6379"],
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "METADATA": metadata,
            "TOLD": str(folder / "told"),
        },
        check=True,
        timeout=30,
        capture_output=True,
    )
    return (folder / "told").read_text(encoding="utf-8").splitlines()


def understood(words: list[str]) -> dict[str, Any]:
    """What the command line of the installed Ray makes of a command, which is not executed."""
    command = ray_command_line.commands[words[0]]
    return dict(command.make_context(words[0], words[1:]).params)


def test_a_spot_notice_drains_the_machine(tmp_path: Path, metadata: str) -> None:
    words = noticed(tmp_path, metadata)
    assert words[0] == "drain-node"
    told = understood(words)
    assert 100 <= told.pop("deadline_remaining_seconds") <= 110
    assert told == {
        "address": "10.0.0.5:6379",
        "node_id": "this-node",
        "reason": "DRAIN_NODE_REASON_PREEMPTION",
        "reason_message": 'spot notice: {"action": "terminate"}',
    }
    assert Metadata.asked == 2


def test_a_ray_that_fails_at_first_is_told_again(tmp_path: Path, metadata: str) -> None:
    assert understood(noticed(tmp_path, metadata, failures=2))["node_id"] == "this-node"


@pytest.mark.parametrize(
    ("old", "new"),
    [("--node-id", "--node"), ("REASON_PREEMPTION", "REASON_SPOT"), ("drain-node", "drain")],
)
def test_a_word_that_ray_does_not_know_is_found(
    tmp_path: Path, metadata: str, old: str, new: str
) -> None:
    script = tmp_path / "spot-notice.sh"
    text = NOTICE.read_text(encoding="utf-8")
    assert old in text
    script.write_text(text.replace(old, new), encoding="utf-8")
    words = noticed(tmp_path, metadata, script=script)
    with pytest.raises((click.UsageError, KeyError)):
        understood(words)
