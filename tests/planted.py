"""Twenty secrets that tests plant, each in a place where people and libraries keep one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PLANTED: Mapping[str, str] = {
    "AWS key id": "AKIA" + "Q7ZPLANTED000001",
    "AWS secret": "pLaNtEd0/aws+secret/00000000000000000002",
    "AWS session token": "FwoGpLaNtEd0session0000003==",
    "AWS key in a file": "pLaNtEd0/aws+file/0000000000000000000004",
    "OpenAI key": "sk-pLaNtEd0openai00000000005",
    "key of the teacher": "teacher pLaNtEd0 key 06",
    "hub token": "hf_pLaNtEd0hub00000000000007",
    "hub token in a file": "hf_pLaNtEd0file0000000000008",
    "Prefect key": "pnu_pLaNtEd0prefect000000009",
    "Prefect password": "pLaNtEd0-prefect-password-10",
    "Ray token": "pLaNtEd0raytoken000000000011",
    "DVC remote password": "pLaNtEd0-dvc-remote-00000012",
    "DVC remote secret key": "pLaNtEd0-dvc-secret-00000013",
    "password in an address": "pLaNtEd0-in-address-14",
    "key in a query": "pLaNtEd0inquery00015",
    "bearer header": "pLaNtEd0.bearer.header.000016",
    "basic header": "cExhTnRFZDA6YmFzaWMwMDAxNw==",
    "password of the database": "pLaNtEd0-database-18",
    "GitHub token": "ghp_pLaNtEd0github0000000019",
    "password of the cache": "pLaNtEd0-cache-password-20",
}
OF_A_FORM: Mapping[str, str] = {
    "password in an address": f"https://user:{PLANTED['password in an address']}@host.example/a",
    "key in a query": f"https://host.example/v1?page=1&api_key={PLANTED['key in a query']}",
    "bearer header": f"Authorization: Bearer {PLANTED['bearer header']}",
    "basic header": f'{{"Authorization": "Basic {PLANTED["basic header"]}"}}',
    "password of the database": f"postgresql://p:{PLANTED['password of the database']}@db/prefect",
}
"""Those that are known by what stands around them, with that."""


def environment(home: Path) -> dict[str, str]:
    """Write the files with secrets into a home folder; return the environment with the others."""
    (home / ".aws").mkdir(parents=True, exist_ok=True)
    (home / ".config/dvc").mkdir(parents=True, exist_ok=True)
    (home / ".cache/huggingface").mkdir(parents=True, exist_ok=True)
    (home / ".aws/credentials").write_text(
        f"[default]\naws_access_key_id = AKIAQ7ZPLANTED000000\n"
        f"aws_secret_access_key = {PLANTED['AWS key in a file']}\n"
    )
    (home / ".cache/huggingface/token").write_text(PLANTED["hub token in a file"])
    (home / ".config/dvc/config").write_text(
        f"['remote \"web\"']\n    url = https://dvc.example/store\n    user = me\n"
        f"    password = {PLANTED['DVC remote password']}\n"
        f"['remote \"store\"']\n    url = s3://results/dvc\n    access_key_id = me\n"
        f"    secret_access_key = {PLANTED['DVC remote secret key']}\n"
    )
    return {
        "HOME": str(home),
        "HF_HOME": str(home / ".cache/huggingface"),
        "AWS_ACCESS_KEY_ID": PLANTED["AWS key id"],
        "AWS_SECRET_ACCESS_KEY": PLANTED["AWS secret"],
        "AWS_SESSION_TOKEN": PLANTED["AWS session token"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "OPENAI_API_KEY": PLANTED["OpenAI key"],
        "TEACHER_API_KEY": PLANTED["key of the teacher"],
        "HF_TOKEN": PLANTED["hub token"],
        "PREFECT_API_KEY": PLANTED["Prefect key"],
        "PREFECT_API_AUTH_STRING": f"admin:{PLANTED['Prefect password']}",
        "RAY_AUTH_TOKEN": PLANTED["Ray token"],
        "GITHUB_TOKEN": PLANTED["GitHub token"],
        "CACHE_PASSWORD": PLANTED["password of the cache"],
        "DATABASE_URL": OF_A_FORM["password of the database"],
        # Names that say nothing: these are known by their form alone.
        "LAST_REQUEST": OF_A_FORM["key in a query"],
        "LAST_HEADER": OF_A_FORM["bearer header"],
        "LAST_HEADERS": OF_A_FORM["basic header"],
        "LAST_PLACE": OF_A_FORM["password in an address"],
    }
