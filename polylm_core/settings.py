"""Profiles: where and how wide a run is executed. Nothing here changes a result's identity.

A profile is a YAML file of `infra/profiles/`, chosen by `POLYLM_PROFILE` (default `laptop`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from polylm_core.errors import MachineError, ParamsError, Problem
from polylm_core.known_keys import with_nearest
from polylm_core.yaml_files import credential_problems, describe_validation, read_yaml

PROFILE_VARIABLE = "POLYLM_PROFILE"
DEFAULT_PROFILE = "laptop"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CheckpointPolicy(_Section):
    """When a training run saves its state, and what is kept of it."""

    every_steps: int = Field(default=250, ge=1)
    """Optimizer steps between two checkpoints: at most so many are done again after a fault."""
    keep_last: int = Field(default=2, ge=1)
    """Newest checkpoints to keep; with one alone, damage to it costs the run."""
    keep_every_steps: int | None = Field(default=None, ge=1)
    """Keep for good the checkpoints of the multiples of so many steps."""
    storage: str | None = None
    """Folder or address (`s3://bucket/folder`) that every checkpoint is copied to while training
    goes on, and fetched from by a machine that lacks it. Not needed where all machines see the
    run's folder."""


class Budget(_Section):
    """What a training run may cost before it stops with its state kept."""

    max_usd: float = Field(gt=0)
    """Of one stage's run, its phases and starts together: at the ceiling the ranks save and the
    stage ends with an error; with a higher one it goes on from there. Counted is the time in which
    ranks work, not machines that start or wait to be given back, a cluster's head, or storage."""
    usd_per_worker_hour: float | None = Field(default=None, gt=0)
    """What an hour of a rank costs; without it `hardware.accelerator` has a price in the table of
    `polylm plan`, by `hardware.spot_share`."""


Offload = Literal["none", "cpu", "nvme"]


class TrainingExecution(_Section):
    """How the ranks of a training run are executed; the batch, its order and the steps are not."""

    backend: Literal["local", "ray"] = "ray"
    """Where ranks run: processes of this machine, which compute on its processors, or Ray Train."""
    workers: int = Field(default=2, ge=1)
    """Ranks of a training run."""
    min_workers: int | None = Field(default=None, ge=1)
    """Go on with fewer ranks while machines are missing, but not with fewer than these; only
    numbers that divide the global batch are taken, and once there are machines for more, the ranks
    begin again at the next checkpoint. By default the run waits for all `workers`."""
    full_size_wait_seconds: float = Field(default=60.0, ge=0)
    """How long a start waits for the machines of all `workers` before it takes fewer: at most
    `machines_wait_seconds`."""
    machines_wait_seconds: float = Field(default=1800.0, ge=0)
    """How long a start waits for the machines of `min_workers` before it gives up: at least as
    long as a cluster takes to bring machines up."""
    threads_per_worker: int = Field(default=1, ge=1)
    """Compute threads of a rank."""
    accelerator: Literal["cpu", "gpu"] = "cpu"
    """What a rank computes on."""
    sharding: Literal["zero3", "none"] = "zero3"
    """`zero3` shards parameters, gradients and optimizer state over the ranks (DeepSpeed); `none`
    keeps all of it on the only rank, which is faster where it fits."""
    micro_batch_sequences: int = Field(default=8, ge=1)
    """Most sequences of one forward and backward pass of one rank: as many are taken as divide its
    part of the batch."""
    persistent_parameter_elements: int = Field(default=100_000, ge=0)
    """Parameters of at most so many elements stay gathered under ZeRO-3 (DeepSpeed's default);
    gradients and optimizer state are sharded all the same."""
    max_live_parameter_elements: int = Field(default=1_000_000_000, ge=0)
    """Elements of gathered parameters that a rank holds before it lets go of some (DeepSpeed's
    default)."""
    prefetch_parameter_elements: int = Field(default=50_000_000, ge=0)
    """Elements of parameters that are gathered ahead of their use (DeepSpeed's default)."""
    reduce_bucket_elements: int = Field(default=500_000_000, ge=1)
    """Elements of gradients that are summed over the ranks at once (DeepSpeed's default); a buffer
    of 4 bytes each."""
    overlap_communication: bool = False
    """Gather parameters and sum gradients while something else is computed; GPUs only."""
    offload_optimizer: Offload = "none"
    """Where ZeRO-3 keeps and updates float32 weights and Adam's moments instead of on the
    accelerator: in the machine's memory, or in `nvme_folder` (ZeRO-Infinity)."""
    offload_parameters: Offload = "none"
    """Where ZeRO-3 keeps the parameters that it does not compute with."""
    nvme_folder: str | None = None
    """Folder on a disk of the machine itself for what is offloaded to it."""
    recompute_activations: bool = False
    """Keep what goes into each block instead of all that its backward pass needs, and compute that
    again: a third more computing for a fraction of the memory (Chen et al. 2016)."""
    compile: bool = False
    """Compile each block (`torch.compile`): the first steps take minutes, the others less."""
    step_deadline_seconds: float | None = Field(default=None, gt=0)
    """A rank whose step takes longer writes its stacks to the run's folder and ends, so that the
    group starts again. Without it 20 times the median of the steps before, at least 300."""
    checkpoints: CheckpointPolicy = CheckpointPolicy()
    budget: Budget | None = None
    """Ceiling of what a run may cost."""

    @model_validator(mode="after")
    def _asks_for_what_there_is(self) -> Self:
        if self.sharding == "none" and self.workers != 1:
            raise ValueError(f"sharding `none` is for 1 worker, not for {self.workers}")
        offloads = {self.offload_optimizer, self.offload_parameters}
        if self.sharding == "none" and offloads != {"none"}:
            raise ValueError("sharding `none` offloads nothing; use `zero3`, with 1 worker too")
        if ("nvme" in offloads) != (self.nvme_folder is not None):
            raise ValueError("offloading to `nvme` and `nvme_folder` need each other")
        if self.overlap_communication and self.accelerator == "cpu":
            raise ValueError("overlap_communication is for accelerator `gpu`; on `cpu` it does not")
        if self.backend == "local" and self.accelerator == "gpu":
            raise ValueError("backend `local` trains on processors; accelerator `gpu` needs `ray`")
        return self

    @model_validator(mode="after")
    def _fewest_are_not_more(self) -> Self:
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers is {self.min_workers}, workers is {self.workers}")
        if self.min_workers is not None and self._gives_up_before_fewer:
            raise ValueError(
                f"full_size_wait_seconds is {self.full_size_wait_seconds:g}, "
                f"machines_wait_seconds is {self.machines_wait_seconds:g}: a start would give up "
                "before it tries fewer than all workers"
            )
        return self

    @property
    def _gives_up_before_fewer(self) -> bool:
        return self.full_size_wait_seconds > self.machines_wait_seconds


class Endpoint(_Section):
    """Where a teacher answers, with which key, and how fast it may be asked."""

    address: str
    """What stands before `/chat/completions`: `http://localhost:8000/v1` for a vLLM of this
    machine."""
    key_variable: str | None = None
    """Name of the environment variable that holds the key; without one no key is sent. The key
    itself stands in no file."""
    concurrent_requests: int = Field(default=16, ge=1)
    """Requests under way at once."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """At most so many, tries counted; a minute's worth may go out at once."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """At most so many, guessed from the prompt's length and the limit of the answer's."""
    timeout_seconds: float = Field(default=300.0, gt=0)
    """How long one try may take, from the connection to the last byte."""
    max_tries: int = Field(default=8, ge=1)
    """Tries of one request, where another may help: 429, 5xx, time-outs, broken answers."""
    first_wait_seconds: float = Field(default=1.0, ge=0)
    """Longest wait before the second try, doubled before each further one; how much of it is
    waited is drawn by lot. `Retry-After` is honoured where it says more."""
    longest_wait_seconds: float = Field(default=60.0, ge=0)
    """Where the doubling ends."""

    @field_validator("address")
    @classmethod
    def _is_plain(cls, address: str) -> str:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("has to begin with http:// or https:// and name a host")
        if parts.query or parts.username or parts.password:
            raise ValueError("may not hold a query or credentials; name a `key_variable`")
        return address.rstrip("/")


class Hardware(_Section):
    """What the machines are and cost, for `polylm plan` and `polylm doctor`; a run does not ask."""

    accelerator: str | None = None
    """What each rank computes on, by its name in the table of prices."""
    ranks_per_machine: int = Field(default=1, ge=1)
    """Ranks of a machine, which are lost together."""
    assumed_mfu: float = Field(default=0.3, gt=0, le=1)
    """Share of the accelerator's peak that a rank reaches with the model's own operations, where no
    speed is measured: 0.21 of GPT-3 to 0.46 of PaLM (Chowdhery et al. 2022, Table 3)."""
    rank_flops: float | None = Field(default=None, gt=0)
    """Measured speed of a rank in the model's own operations a second, in place of the above."""
    spot_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the machines that is rented at the spot price and may be taken away."""
    max_usd: float | None = Field(default=None, gt=0)
    """`polylm plan` refuses a run that costs more."""


class Storage(_Section):
    """Where files lie that are too large for DVC's cache."""

    payloads: str | None = None
    """Address (`s3://bucket/folder`) of an object store, or a folder, for the files of artifacts
    that are larger than `max_dvc_bytes`; they lie there by their sha256. It also keeps what each
    run wrote of itself, and has one run at a time make an artifact. By default DVC keeps all."""
    max_dvc_bytes: int = Field(default=1_000_000_000, ge=0)
    """Larger files of an artifact leave its folder for the store, and DVC keeps the rest."""


class Profile(_Section):
    """One way to execute any recipe."""

    map_backend: Literal["local", "ray"] = "local"
    """Where units of work run: processes of this machine, or a Ray cluster."""
    map_workers: int = Field(default=2, ge=1)
    """Units of work at once."""
    training: TrainingExecution = TrainingExecution()
    """How `pretrain` and `finetune` train."""
    ray_address: str | None = None
    """Address of a Ray cluster to join; without one a private local Ray is started."""
    lock_wait_seconds: float = Field(default=30.0, ge=0)
    """How long to wait for another process that builds the same artifact."""
    source_locations: Mapping[str, str] = Field(default_factory=dict)
    """Where the recipe's sources lie, by name: a folder, `s3://bucket/folder` or
    `https://host/folder`; one that is not named lies in `data/00_sources/<name>`. Credentials come
    from where the libraries look for them (`AWS_PROFILE`, `HF_TOKEN`, ...), never from here."""
    benchmark_locations: Mapping[str, str] = Field(default_factory=dict)
    """Folders of published benchmarks, by name in the catalogue; one that is not named lies in the
    cache of the Hugging Face hub."""
    hardware: Hardware = Hardware()
    """What the training ranks compute on, for the plan of a run."""
    endpoints: Mapping[str, Endpoint] = Field(default_factory=dict)
    """Where the recipe's teachers of the kind `openai` answer, by name."""
    storage: Storage = Storage()
    """Where the large files of artifacts lie."""

    @property
    def private_ray_cpus(self) -> int:
        """CPUs of the Ray that is started where no cluster is named; 0 where none is needed."""
        training = self.training
        mapped = self.map_workers if self.map_backend == "ray" else 0
        ranks = training.workers * training.threads_per_worker
        return max(mapped, ranks if training.backend == "ray" else 0)


def load_profile(folder: Path, name: str | None = None) -> Profile:
    """Load `<folder>/<name>.yaml`, by default the one `POLYLM_PROFILE` names.

    Raises MachineError when there is no such profile, ParamsError when it has mistakes.
    """
    chosen = name or os.environ.get(PROFILE_VARIABLE, DEFAULT_PROFILE)
    path = folder / f"{chosen}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise MachineError(
            f"no profile {chosen!r} in {folder} (known: {known}); set {PROFILE_VARIABLE} to one"
        )
    try:
        content = read_yaml(path) or {}
        profile = Profile.model_validate(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(str(path), [Problem("(top level)", f"not YAML: {error}")]) from error
    except ValidationError as error:
        problems = describe_validation(str(path), error).problems
        raise ParamsError(str(path), with_nearest(problems, Profile)) from error
    if held := credential_problems(content):
        raise ParamsError(str(path), held)
    return profile
