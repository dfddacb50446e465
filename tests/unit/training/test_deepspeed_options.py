"""What DeepSpeed is told, and that it does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deepspeed.ops.op_builder import AsyncIOBuilder
from pydantic import ValidationError

from polylm_core.errors import MachineError, TrainingError
from polylm_core.settings import TrainingExecution
from polylm_core.training.deepspeed_options import (
    RUNNING,
    DeepSpeedOptions,
    flattened,
    options_of,
    require_as_asked,
    require_nvme,
)
from polylm_core.training.job import TrainJob
from tests.engines import make_engine, make_engine_job

pytestmark = pytest.mark.usefixtures("only_rank")


def options(job: TrainJob) -> DeepSpeedOptions:
    return options_of(job, micro_batch=4, accumulation_steps=1)


def test_every_option_has_its_counterpart_in_a_running_engine(tmp_path: Path) -> None:
    assert RUNNING.keys() == {name for name, _ in flattened(options(make_engine_job(tmp_path)))}


def test_params_and_profile_reach_deepspeed(tmp_path: Path) -> None:
    job = make_engine_job(
        tmp_path,
        precision="bfloat16",
        max_live_parameter_elements=5_000,
        prefetch_parameter_elements=600,
        reduce_bucket_elements=70_000,
        persistent_parameter_elements=80,
        offload_optimizer="cpu",
    )
    told = options(job).model_dump(mode="json")
    assert told["bf16"] == {"enabled": True}
    assert told["gradient_clipping"] == 1.0
    assert told["train_micro_batch_size_per_gpu"] == 4
    zero = told["zero_optimization"]
    assert zero["stage3_max_live_parameters"] == 5_000
    assert zero["stage3_prefetch_bucket_size"] == 600
    assert zero["reduce_bucket_size"] == 70_000
    assert zero["stage3_param_persistence_threshold"] == 80
    assert zero["offload_optimizer"]["device"] == "cpu"
    assert zero["offload_param"]["device"] == "none"
    make_engine(job)  # compares all of it to what runs


def planted(engine: Any, name: str, value: object) -> None:
    """Make an engine run otherwise than it was told, as a release of DeepSpeed might."""
    optimizer = engine.optimizer
    places: dict[str, tuple[Any, str]] = {
        "gradient_clipping": (optimizer, "clip_grad"),
        "communication_data_type": (optimizer, "communication_data_type"),
        "zero_optimization.stage3_prefetch_bucket_size": (
            optimizer.parameter_offload,
            "_prefetch_bucket_sz",
        ),
        "zero_optimization.offload_optimizer.device": (optimizer, "offload_optimizer"),
    }
    setattr(*places[name], value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gradient_clipping", 0.5, "gradient_clipping was asked as 1.0 and is 0.5"),
        ("communication_data_type", "bf16", "communication_data_type was asked as fp32 and is"),
        ("zero_optimization.stage3_prefetch_bucket_size", 1, "was asked as 50000000 and is 1"),
        ("zero_optimization.offload_optimizer.device", True, "was asked as none and is cpu"),
    ],
)
def test_an_option_that_is_overridden_is_named_with_both_values(
    tmp_path: Path, name: str, value: object, message: str
) -> None:
    job = make_engine_job(tmp_path)
    engine: Any = make_engine(job)
    require_as_asked(options(job), engine._engine)
    planted(engine._engine, name, value)
    with pytest.raises(TrainingError, match=f"does not run as configured: .*{message}"):
        require_as_asked(options(job), engine._engine)


def test_an_option_that_this_machine_ignores_ends_the_start(tmp_path: Path) -> None:
    job = make_engine_job(tmp_path)
    overlapping = job.execution.model_copy(update={"overlap_communication": True})
    with pytest.raises(TrainingError, match="overlap_comm was asked as True and is False"):
        make_engine(job.model_copy(update={"execution": overlapping}))


def job_on_disk(folder: Path) -> TrainJob:
    return make_engine_job(folder, offload_optimizer="nvme", nvme_folder=str(folder))


def test_a_disk_without_libaio_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "false")  # no program compiles, so none can use the library
    with pytest.raises(MachineError, match=r"it is not there; apt install libaio-dev"):
        require_nvme(job_on_disk(tmp_path))
    require_nvme(make_engine_job(tmp_path, offload_optimizer="cpu"))


def test_a_library_that_cannot_be_loaded_is_told_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Any) -> None:
        raise ImportError("undefined symbol: io_submit")

    monkeypatch.setattr(AsyncIOBuilder, "is_compatible", lambda _: True)
    monkeypatch.setattr(AsyncIOBuilder, "load", fails)
    with pytest.raises(MachineError, match=r"undefined symbol: io_submit; apt install libaio"):
        require_nvme(job_on_disk(tmp_path))


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ({"offload_optimizer": "nvme"}, "need each other"),
        ({"nvme_folder": "/mnt/nvme"}, "need each other"),
        ({"sharding": "none", "workers": 1, "offload_optimizer": "cpu"}, "offloads nothing"),
        ({"overlap_communication": True}, "is for accelerator `gpu`"),
    ],
)
def test_a_profile_that_asks_for_what_cannot_be_is_refused(
    execution: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainingExecution.model_validate(execution)
