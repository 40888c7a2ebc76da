"""What other servers need: python -m tuner.export target=triton answer=answer.json network=my.onnx out=exported"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from envs.errors import OptionError
from envs.spec.device import available_cores
from envs.spec.workload import Workload, workload_of
from tuner.cli import run_command
from tuner.exports.answers import Slot, placed, read_answer, read_slots
from tuner.exports.deepstream import export_deepstream
from tuner.exports.engines import BuildOptions
from tuner.exports.folder import Files, check_free, write_folder
from tuner.exports.models import Model, models_of
from tuner.exports.policy_onnx import export_policy
from tuner.exports.readme import listed
from tuner.exports.triton import export_triton
from tuner.exports.trtexec import export_trtexec
from tuner.options import cache_folder, read_networks, shipped, versions
from tuner.policy.bundle import load_bundle

TARGETS = ("triton", "deepstream", "trtexec", "policy")


@dataclass
class ExportCommand:
    """Options of python -m tuner.export.

    Attributes:
        target: one of `TARGETS`. out: the folder to write. overwrite: replace an older export there.
        answer: what python -m tuner.tune wrote; or configuration: a list of {tenant, accelerator, instances, batch}, the tenant where there are several.
        network: the ONNX file, or a list of them, one a tenant, in the order they were tuned in.
        tensorrt, tensor_precision, dla_precision, workspace_mib: see `tuner.exports.trtexec.BuildOptions`.
        calibration: for INT8 a calibration cache, or a list, one a network; for TensorRT 11 a .npy or .npz of inputs.
        max_wait_ms: how long Triton lets a request wait for its batch to fill.
        cores: of the computer that serves, for what runs on its processor; None for those of this one.
        bundle: the policy for target=policy; by default the one in checkpoints/.
    """

    target: Optional[str] = None
    out: Optional[str] = None
    answer: Optional[str] = None
    configuration: Any = None
    network: Any = None
    tensorrt: str = "10"
    tensor_precision: str = "fp16"
    dla_precision: str = "int8"
    workspace_mib: int = 1024
    calibration: Any = None
    max_wait_ms: float = 5.0
    cores: Optional[int] = None
    bundle: Optional[str] = None
    overwrite: bool = False


def main(options: ExportCommand) -> int:
    if options.target not in TARGETS:
        given = "is missing" if options.target is None else f"={options.target} is unknown"
        raise OptionError(
            f"target{' ' * (options.target is None)}{given}: choose from {', '.join(TARGETS)}"
        )
    if not options.out:
        raise OptionError("out is missing: name the folder to write, as in out=exported")
    out = Path(options.out)
    check_free(out, options.overwrite)  # before the work, not after it
    manifest: dict[str, Any] = {"target": options.target, "versions": versions()}
    if options.target == "policy":
        bundle = load_bundle(
            Path(options.bundle) if options.bundle else shipped("checkpoints") / "reference.bundle"
        )
        write_folder(out, export_policy(bundle), manifest, options.overwrite)
        print(f"wrote {out}: policy.onnx")
        return 0
    build = build_options(options)
    models = configured(options)
    write_folder(
        out,
        files_of(options, models, build),
        manifest | described(models, build),
        options.overwrite,
    )
    print(
        f"wrote {out}: {len(models)} {'model' if len(models) == 1 else 'models'}\n{listed(models)}\nwhat to do with it is in {out / 'README.txt'}"
    )
    return 0


def build_options(options: ExportCommand) -> BuildOptions:
    """How engines are built; OptionError names what is wrong."""
    given = [None if path is None else Path(str(path)) for path in as_list(options.calibration)]
    if given and len(given) != len(as_list(options.network)):
        raise OptionError(
            f"calibration has {len(given)} files for {len(as_list(options.network))} networks: give one for each"
        )
    return BuildOptions(
        options.tensorrt,
        options.tensor_precision,
        options.dla_precision,
        options.workspace_mib,
        tuple(given),
    )


def configured(options: ExportCommand) -> list[Model]:
    """The models of the configuration that was given, checked."""
    if (options.answer is None) == (options.configuration is None):
        raise OptionError(
            "give either answer, a file that python -m tuner.tune wrote, or configuration"
        )
    slots = given_slots(options)
    paths = [str(path) for path in as_list(options.network)]
    if not paths:
        raise OptionError(
            "network is missing: give the ONNX file, as in network=my.onnx, or a list, one a tenant"
        )
    workload: Workload = workload_of(read_networks(paths))
    space, configuration = placed(slots, workload)
    return models_of(space, configuration, [Path(path) for path in paths])


def given_slots(options: ExportCommand) -> list[Slot]:
    if options.answer is None:
        return read_slots(options.configuration, "configuration")
    answer = read_answer(Path(options.answer))
    if not answer.limits_kept:
        print(
            f"caution: the configuration in {options.answer} did not keep its limits when it was measured",
            file=sys.stderr,
        )
    return answer.slots


def files_of(options: ExportCommand, models: list[Model], build: BuildOptions) -> Files:
    """What the target's folder holds."""
    if not 0 <= options.max_wait_ms <= 60_000:
        raise OptionError(f"max_wait_ms={options.max_wait_ms} must lie in 0..60000")
    if options.cores is not None and options.cores < 1:
        raise OptionError(f"cores={options.cores} must be at least 1")
    if options.target == "triton":
        return export_triton(
            models, build, options.max_wait_ms, options.cores or available_cores(), cache_folder()
        )
    return (
        export_deepstream(models, build)
        if options.target == "deepstream"
        else export_trtexec(models, build)
    )


def described(models: list[Model], build: BuildOptions) -> dict[str, Any]:
    """What was exported, for whoever finds the folder later."""
    return {
        "tensorrt": build.tensorrt,
        "models": [
            {
                "name": model.name,
                "tenant": model.tenant,
                "network_sha256": model.network.sha256,
                "accelerator": model.accelerator,
                "precision": model.accelerator.removeprefix("cpu_")
                if model.on_cpu
                else build.precision(model),
                "instances": model.instances,
                "batch": model.batch,
            }
            for model in models
        ],
    }


def as_list(value: Any) -> list[Any]:
    """One value or many."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


if __name__ == "__main__":
    run_command("export", ExportCommand, main)
