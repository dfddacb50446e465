"""infra/storage: S3 and IAM (pretended by moto) take the files, and the role may do what a run does
and nothing else; DVC reads the configuration of its remote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from dvc.config import Config, ConfigError
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count

from infra.fill import filled
from tests.architecture.closure import ROOT

STORAGE = ROOT / "infra/storage"
POLICIES = (STORAGE / "policy.json", ROOT / "infra/ray/head-policy.json")
VALUES = {
    "POLYLM_BUCKET": "polylm-artifacts",
    "AWS_REGION": "us-east-1",
    "AWS_ACCOUNT": "123456789012",
    "SUBNET_ID": "subnet-0a",
    "SECURITY_GROUP_ID": "sg-0a",
    "AMI_ID": "ami-0a",
}


def content(path: Path) -> str:
    return filled(path.read_text(encoding="utf-8"), VALUES)


@pytest.fixture(scope="module", autouse=True)
def account() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "pretended")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("polylm-artifacts", "of-somebody-else"):
            boto3.client("s3").create_bucket(Bucket=name)
        yield


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_iam_takes_the_policies(path: Path) -> None:
    boto3.client("iam").create_policy(PolicyName=path.stem, PolicyDocument=content(path))


def test_iam_gives_the_roles_to_machines() -> None:
    trust = (ROOT / "infra/ray/trust.json").read_text(encoding="utf-8")
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=trust)
    (statement,) = role["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ({"Effect": "Alow", "Action": "s3:GetObject", "Resource": "*"}, "Syntax error"),
        ({"Effect": "Allow", "Actoin": "s3:GetObject", "Resource": "*"}, "Syntax error"),
        ({"Effect": "Allow", "Action": "GetObject", "Resource": "*"}, "vendor"),
        ({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "bucket"}, "ARN"),
        ({"Effect": "Allow", "Action": "s3:GetObject"}, "resources"),
    ],
)
def test_iam_refuses_a_planted_mistake(statement: dict[str, Any], told: str) -> None:
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    with pytest.raises(botocore.exceptions.ClientError, match=told):
        boto3.client("iam").create_policy(PolicyName="p", PolicyDocument=json.dumps(policy))


def as_run() -> Any:
    """S3 for somebody who may do what infra/storage/policy.json says."""
    iam = boto3.client("iam")
    iam.create_user(UserName="run")
    iam.put_user_policy(
        UserName="run", PolicyName="p", PolicyDocument=content(STORAGE / "policy.json")
    )
    key = iam.create_access_key(UserName="run")["AccessKey"]
    return boto3.client(
        "s3",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )


ALLOWED = [
    ("put_object", "dvc/files/md5/0a/1"),
    ("get_object", "dvc/files/md5/0a/1"),
    ("put_object", "payloads/sha256/0a/1"),
    ("put_object", "checkpoints/pretrain-1/rank0"),
    ("delete_object", "checkpoints/pretrain-1/rank0"),
    ("delete_object", "payloads/claims/06_base.json"),
    ("create_multipart_upload", "payloads/sha256/0a/2"),
]
REFUSED = [
    ("delete_object", "dvc/files/md5/0a/1"),
    ("delete_object", "payloads/sha256/0a/1"),
    ("put_object", "elsewhere/file"),
]


def test_a_run_may_do_what_it_does_and_nothing_else() -> None:
    s3, own = as_run(), boto3.client("s3")
    for _, name in ALLOWED:
        own.put_object(Bucket="polylm-artifacts", Key=name, Body=b"there")
    set_initial_no_auth_action_count(0)(_try_everything)(s3)


def _try_everything(s3: Any) -> None:
    for action, name in ALLOWED:
        getattr(s3, action)(Bucket="polylm-artifacts", Key=name)
    s3.list_objects_v2(Bucket="polylm-artifacts")
    for action, name in REFUSED:
        assert refused(getattr(s3, action), Bucket="polylm-artifacts", Key=name), (action, name)
    for bucket in ("polylm-artifacts", "of-somebody-else"):
        assert refused(s3.delete_bucket, Bucket=bucket)
        assert refused(s3.put_bucket_acl, Bucket=bucket, ACL="public-read")
    assert refused(s3.get_object, Bucket="of-somebody-else", Key="file")
    assert refused(s3.list_objects_v2, Bucket="of-somebody-else")


def refused(call: Any, **arguments: str) -> bool:
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        return bool(error.response["Error"]["Code"] == "AccessDenied")
    return False


def test_s3_takes_the_rules_of_the_bucket() -> None:
    s3 = boto3.client("s3")
    rules = json.loads(content(STORAGE / "lifecycle.json"))
    s3.put_bucket_lifecycle_configuration(Bucket="polylm-artifacts", LifecycleConfiguration=rules)
    kept = s3.get_bucket_lifecycle_configuration(Bucket="polylm-artifacts")["Rules"]
    assert [rule["ID"] for rule in kept] == [rule["ID"] for rule in rules["Rules"]]
    # Nothing that is current goes away by itself: no artifact, and no checkpoint, of which a budget
    # or `keep_every_steps` may have kept one for good.
    assert [rule["ID"] for rule in kept if "Days" in rule.get("Expiration", {})] == []
    assert {
        rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in kept
        if "NoncurrentVersionExpiration" in rule
    } == {30}
    s3.put_bucket_policy(Bucket="polylm-artifacts", Policy=content(STORAGE / "bucket-policy.json"))


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ({"Expire": {"Days": 1}}, "Expire"),
        ({"Expiration": {"Days": "sixty"}}, "Days"),
        ({"Filter": {"Prefixes": "x"}}, "Prefixes"),
        ({"Transitions": {"Days": 1}}, "Transitions"),
    ],
)
def test_s3_refuses_a_planted_mistake(mistake: dict[str, Any], told: str) -> None:
    rules = json.loads(content(STORAGE / "lifecycle.json"))
    rules["Rules"][1].update(mistake)
    with pytest.raises(botocore.exceptions.ParamValidationError, match=told):
        boto3.client("s3").put_bucket_lifecycle_configuration(
            Bucket="polylm-artifacts", LifecycleConfiguration=rules
        )


def remote(folder: Path, text: str) -> Any:
    """What DVC reads in a checkout with a configuration of its own."""
    shutil.copyfile(ROOT / ".dvc/config", folder / "config")
    (folder / "config.local").write_text(text, encoding="utf-8")
    return Config(str(folder))


def test_dvc_reads_the_remote(tmp_path: Path) -> None:
    read = remote(tmp_path, content(STORAGE / "dvc.config"))
    assert read["core"]["remote"] == "s3"
    assert read["remote"]["s3"]["url"] == "s3://polylm-artifacts/dvc"
    assert read["core"]["hardlink_lock"] is True


@pytest.mark.parametrize(
    ("old", "new"),
    [("region =", "regoin ="), ("hardlink_lock = true", "hardlink_lock = sometimes")],
)
def test_dvc_refuses_a_planted_mistake(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(ConfigError):
        remote(tmp_path, content(STORAGE / "dvc.config").replace(old, new))
