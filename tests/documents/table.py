"""How the commands of the documents are executed where it is not as they are typed.

A command without an entry is executed as it is typed, in a finished checkout of the tiny recipe.
Words in capitals that stand for something of the reader's are filled in first (`FILLED`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.documents.extract import Command

FILLED: Mapping[str, str] = {
    "N": "3",
    "ID": "$DOCUMENT",  # of the tour's environment
    "PHASE": "instructions",
    "RECIPE": "polylm-13b",
    "R": "polylm-13b",
    "PROFILE": "32x8-a100",
    "P": "32x8-a100",
    "OWNER/NAME": "me/my-lm",
    "RUN": "01234567-89ab-cdef-0123-456789abcdef",
    "OTHER": ".",  # a run and itself
    "STAGE": "mix",
    "12000": "12",  # a step that the tiny recipe has
}
PLACEHOLDER = re.compile(rf"(?<=[ =])(?:{'|'.join(map(re.escape, FILLED))})(?= |$)", re.MULTILINE)
VARIABLE = re.compile(r"^[A-Z_]+=\S+ ")


@dataclass(frozen=True)
class Entry:
    """What is executed in place of a command, and why."""

    why: str
    typed: str | None = None
    """What is executed; none is the command as it stands."""
    statuses: tuple[int, ...] = (0,)
    """Exit statuses that are right."""
    is_slow: bool = False
    """Only in the long tests."""


STAND_INS: Mapping[str, str] = {
    "apt": "changes the machine, as root",
    "sudo": "changes the machine, as root",
    "apertium": "is not installed everywhere; its own tests have a stand-in that translates",
    "pip": "fetches from a registry, and would change the environment of all tests",
    "vllm": "takes a GPU, and gigabytes of an environment of its own",
    "prefect": "asks a server with deployments; tests/integration/test_deployment.py does",
    "hf": "fetches from the hub; tests of ingest read sets from one on loopback",
    "curl": "fetches from servers of others",
    "aws": "asks a cloud, and costs money; test_object_store.py asks a pretended one",
    "docker": "needs a daemon and a registry; test_images.py reads the images",
    "helm": "needs a Kubernetes cluster",
    "kubectl": "needs a Kubernetes cluster; test_kubernetes.py builds what it sends",
    "ray": "starts machines that cost money; test_ray_cluster.py runs the launcher",
    "sbatch": "needs Slurm; test_scripts.py and test_slurm_job.py run the job",
    "squeue": "needs Slurm",
}
"""Programs of which only the words are taken, and why."""
EXPORTED: Mapping[str, str] = {
    "AMI_ID": "ami-0a",
    "AWS_ACCOUNT": "123456789012",
    "AWS_REGION": "us-east-1",
    "EFS_ADDRESS": "10.0.0.9",
    "POLYLM_BUCKET": "my-polylm-artifacts",
    "POLYLM_REGISTRY": "registry.example.com",
    "SECURITY_GROUP_ID": "sg-0a",
    "SUBNET_ID": "subnet-0a",
}
"""What the reader of run-on-aws.md has exported from one command to the next."""
NO_GPU = "a stand-in: it takes a GPU, and gigabytes of an environment of its own"
HELP = "takes what only the reader has, or hours: its own tests run its parts"
CHAT = "printf 'Save the file.\\n' | polylm chat --max-new-tokens 4"
NO_ADAPTER = "the tiny recipe has no adapter, which is told; test_merge.py merges one"
IN_A_BUCKET = "takes a remote: tests/integration/test_deployment.py has one in a bucket"
ON_DEFAULT = "minutes of the default recipe: the same stages of the tiny one"

LARGE = "takes 160 GB of text, and a GPU"

TABLE: Mapping[str, Entry] = {
    "git clone <this repository> polylm && cd polylm": Entry(
        "the checkout stands for the repository, its environment for the one that is installed",
        'git clone -q "$CHECKOUT" ../polylm && cp -a .venv ../polylm && cd ../polylm && '
        'cp "$CHECKOUT"/tests/recipes/tiny.yaml params.yaml && cp -r "$CHECKOUT"/.dvc/cache .dvc/ '
        "&& make run && make stop",
        is_slow=True,
    ),
    "from transformers import pipeline": Entry("takes seconds of imports", is_slow=True),
    "make run": Entry("DVC looks at every stage", is_slow=True),
    "docs/howto/train-100m.md: make run": Entry(LARGE, "make -n run", is_slow=True),
    **{
        f"docs/howto/train-100m.md: dvc repro {stage}": Entry(
            LARGE, f"dvc repro --dry {stage}", is_slow=True
        )
        for stage in ("ingest", "curate", "vocab", "mix", "pretrain", "report")
    },
    "make ui": Entry("starts a server", is_slow=True),
    "make stop": Entry("ends that server", is_slow=True),
    "make test": Entry("one file of each half of the suite (PYTEST_ADDOPTS)", is_slow=True),
    "make test-all": Entry("one file of each half of the suite (PYTEST_ADDOPTS)", is_slow=True),
    "make lock": Entry(
        "asks the index for every package: tests/unit/infra/test_lock.py locks one of a folder",
        "make -n lock",
    ),
    "export RAY_ADDRESS=head.example:6379": Entry(
        "nobody is there, which doctor says",
        "export RAY_ADDRESS=head.example:6379 RAY_AUTH_MODE=token RAY_AUTH_TOKEN=a-long-token "
        "PREFECT_API_URL=https://prefect.example/api PREFECT_API_AUTH_STRING=admin:a-password; "
        "polylm doctor || test $? = 1",
        is_slow=True,
    ),
    "python3 -m venv .venv && . .venv/bin/activate": Entry(
        "changes the environment of all tests",
        "pip install --require-hashes --no-deps --no-build-isolation -r requirements.lock && "
        "pip install --no-deps --no-build-isolation --editable .",
    ),
    "python -m benchmarks.corruption --quick": Entry("imports what trains", is_slow=True),
    "make check": Entry("takes minutes: types", is_slow=True),
    "make install": Entry("everything is installed", is_slow=True),
    "make cluster-demo": Entry(
        "tests/integration/test_autoscaling.py runs it",
        "python -m benchmarks.cluster_demo --help",
        is_slow=True,
    ),
    "dvc repro mix": Entry("DVC looks at the stages before it", is_slow=True),
    "polylm chat": Entry("a chat ends with Ctrl-D, a pipe with its end", CHAT, is_slow=True),
    "polylm merge-adapter data/08_chat PHASE OUT": Entry(NO_ADAPTER, statuses=(1,)),
    "polylm merge-adapter data/08_chat spanish OUT": Entry(NO_ADAPTER, statuses=(1,)),
    "polylm merge-adapter data/08_chat spanish merged": Entry(NO_ADAPTER, statuses=(1,)),
    "cp recipes/bayling2-laptop.yaml params.yaml": Entry(
        "twenty minutes of training: checked and asked for help",
        "cp recipes/bayling2-laptop.yaml params.yaml; polylm plan; "
        "python -m benchmarks.bayling2 --help",
        is_slow=True,
    ),
    ". .venv/bin/activate ⏎ polylm init ../my-lm --text swh_Latn=~/news.txt "
    "--text swh_Latn=~/stories.txt --license CC-BY-SA-4.0": Entry(
        "tests/integration/test_own_project.py makes a project and runs it", "polylm init --help"
    ),
    "polylm recipes use R": Entry(
        "the tiny recipe is in no commit, and what comes after it needs it",
        "cp params.yaml kept.yaml; polylm recipes use R --replace; mv kept.yaml params.yaml",
    ),
    "polylm judgements FOLDER": Entry(HELP, "polylm judgements --help"),
    "polylm doctor": Entry("the sources of the tiny recipe are there", is_slow=True),
    ". .venv/bin/activate ⏎ transformers serve data/08_chat --port 8000": Entry(
        "serves until it is ended: tests/integration/test_serve.py starts, asks and ends it",
        "transformers serve --help",
        is_slow=True,
    ),
    "curl -s http://localhost:8000/v1/chat/completions": Entry(
        "tests/integration/test_serve.py sends the same request", "true"
    ),
    "python3 -m venv ~/vllm": Entry(NO_GPU, "vllm serve data/08_chat --served-model-name my-lm"),
    "transformers serve": Entry("the name of the program", "true"),
    "git clone <this repository> polylm && cd polylm ⏎ make install": Entry(
        "no GPU here, and nothing is installed: the rest as it stands, then back to what is made",
        ". .venv/bin/activate; pip install -c constraints.txt -e '.[gpu]'; "
        'python -c "import torch; print(torch.cuda.is_available())"; '
        "mv params.yaml made.yaml; "
        "cp recipes/polylm-100m.yaml params.yaml; export POLYLM_PROFILE=1x1-h200; "
        "polylm doctor || test $? = 1; polylm plan; mv made.yaml params.yaml",
        is_slow=True,
    ),
    'python -c "from huggingface_hub import HfApi; \\': Entry(
        "the hub is the network's: asked for its client",
        "python -c 'from huggingface_hub import HfApi; HfApi().dataset_info'",
        is_slow=True,
    ),
    'hub() { hf download --repo-type dataset "$@"; }': Entry(
        "160 GB: one file of one set from a hub on loopback, in tests of ingest; here the shell of "
        "it with stand-ins for hf and curl",
    ),
    "python -m benchmarks.tokenizers": Entry(HELP, "python -m benchmarks.tokenizers --help"),
    "polylm --install-completion": Entry(
        "writes into the files of the reader's shell", "_POLYLM_COMPLETE=source_bash polylm"
    ),
    "polylm plan --calibrate-seconds 60": Entry(
        "trains for a minute", "polylm plan --calibrate-seconds 2", is_slow=True
    ),
    "polylm plan recipes/polylm-13b.yaml --profile 32x8-a100 --max-usd 500000 --json": Entry(
        "status 1 says that it costs more", statuses=(0, 1)
    ),
    "polylm calibrate khm_Khmr news.jsonl.zst books/*.txt": Entry(
        "compiles what reads a document", is_slow=True
    ),
    "polylm doctor ⏎ dvc repro ingest": Entry(
        "the reader has little text and no pairs: more of it is held out, as the document says",
        "sed -i 's/share_by_source: {udhr: 0.1}/share_by_source: {udhr: 0.4, my-swahili: 0.1}/' "
        "params.yaml && dvc repro ingest && dvc repro curate vocab",
        is_slow=True,
    ),
    "polylm calibrate swh_Latn --whole-files data/00_sources/my-swahili/*.txt": Entry(
        "as it stands", is_slow=True
    ),
    "dvc repro pretrain": Entry(ON_DEFAULT, is_slow=True),
    'export SECURITY_GROUP_ID="$(aws ec2 create-security-group --group-name polylm-ray \\': Entry(
        "of a cloud only the words: the stand-in for aws answers with them"
    ),
    "python -m infra.fill infra/storage/dvc.config > .dvc/config.local": Entry(
        "the other commands have no bucket", "python -m infra.fill infra/storage/dvc.config"
    ),
    "kubectl apply -k infra/kuberay/gpu ⏎ kubectl --namespace polylm wait raycluster/polylm "
    "--for=condition=HeadPodReady --timeout=15m": Entry(
        "nobody is at the other end of the pipe", "git archive --format=tar HEAD > /dev/null"
    ),
    "make install ⏎ . .venv/bin/activate": Entry("everything is installed", is_slow=True),
    "export TEACHER_API_KEY=... ⏎ dvc repro instruct": Entry(ON_DEFAULT, is_slow=True),
    "dvc repro finetune": Entry(ON_DEFAULT, is_slow=True),
    "dvc repro": Entry("DVC looks at every stage", is_slow=True),
    "dvc repro --force --single-item encode": Entry("a stage is made again", is_slow=True),
    "rm -r data/04_tokens": Entry(
        "DVC looks at every stage",
        "rm -r data/04_tokens; dvc checkout || dvc pull || dvc repro",
        is_slow=True,
    ),
    "dvc push": Entry(IN_A_BUCKET, "dvc push --help"),
    "dvc remote modify": Entry(IN_A_BUCKET, "dvc remote modify --help"),
    "git clone <this repository> polylm && cd polylm ⏎ dvc pull --jobs 32": Entry(
        IN_A_BUCKET, "git clone -h > /dev/null || true; dvc pull --help"
    ),
}


def entry_of(command: Command) -> Entry | None:
    """The entry of a command: by its document, by all of it, by its first two lines, or by one."""
    lines = [line.partition(" #")[0].rstrip() for line in command.text.splitlines()]
    without_variables = VARIABLE.sub("", lines[0])
    in_document = f"{command.document}: {lines[0]}"
    for key in (in_document, command.text, " ⏎ ".join(lines[:2]), lines[0], without_variables):
        if key in TABLE:
            return TABLE[key]
    return next((entry for key, entry in TABLE.items() if lines[0].startswith(f"{key} -H")), None)


def executed(command: Command) -> str:
    """What is typed for a command, with everything filled in."""
    entry = entry_of(command)
    typed = command.text if entry is None or entry.typed is None else entry.typed
    return PLACEHOLDER.sub(lambda found: FILLED[found[0]], typed)
