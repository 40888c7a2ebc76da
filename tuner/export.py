r"""Write a tuned configuration for other servers: python -m tuner.export.

  python -m tuner.tune --network my.onnx --p99-ms 50 --out answer.json
  python -m tuner.export --target triton --answer answer.json --network my.onnx --out exported
  python -m tuner.export --target trtexec --network my.onnx --configuration tensor=2x8 --out engines
  python -m tuner.export --target triton --network a.onnx b.onnx --out exported \
      --configuration a:tensor=2x8 b:dla0=1x4
  python -m tuner.export --target policy --out policy

--target triton      a Triton model repository: one model for each network and accelerator
--target deepstream  nvinfer files, one for each instance
--target trtexec     a script with the command lines that build each engine
--target policy      the policy bundle as one ONNX file

--configuration says ACCELERATOR=INSTANCESxBATCH, with several networks NETWORK:ACCELERATOR=...
Accelerators: cuda (FP32 without TF32), tensor (--tensor-precision), dla0 and dla1
(--dla-precision); for Triton also cpu_fp32 and cpu_int8. A file in FP16 or BF16 stays so, and a
quantised file is INT8. A mapping of layers, such as dla0_to_7_tensor (python -m tuner.map), is
given like an accelerator. Any other INT8 needs --samples FILE, inputs that calibrate it, or
--calibration. --tensorrt is the version on the board: 8.6 (JetPack 6.0), 10 (JetPack 6.1 and later)
or 11 (JetPack 7.2.2 and later). The folder gets a README.txt with the next steps.
"""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Optional

from envs.accuracy.samples import Samples, read_samples
from envs.errors import OptionError
from envs.spec import available_cores, workload_of
from tuner.exports.answers import Slot, placed, read_answer, read_slots, slot_of
from tuner.exports.calibrated import calibrated, translated
from tuner.exports.calibration import assigned
from tuner.exports.checks import (
    check_batches,
    check_mappings,
    check_no_cpu,
    check_ranges,
    check_types,
)
from tuner.exports.deepstream import export_deepstream
from tuner.exports.engines import BuildOptions
from tuner.exports.facts import read_for_export
from tuner.exports.folder import Files, check_free, write_folder
from tuner.exports.judged import judged_halves
from tuner.exports.manifest import described
from tuner.exports.models import Model, models_of
from tuner.exports.policy_onnx import export_policy
from tuner.exports.readme import listed, warnings
from tuner.exports.triton import export_triton
from tuner.exports.trtexec import export_trtexec
from tuner.flags import run
from tuner.folders import reference_bundle
from tuner.options import ServeOptions
from tuner.policy.bundle import load_bundle
from tuner.versions import versions

logger = logging.getLogger(__name__)

TARGETS = ("triton", "deepstream", "trtexec", "policy")


#: Options of serving that an export does not have.
HIDDEN = frozenset(each.name for each in fields(ServeOptions)) - {
    *("network", "samples", "allow_uncalibrated", "dla_precision", "tensor_precision"),
    *("shape", "fix", "cores", "cache"),
}


@dataclass(frozen=True)
class ExportCommand:
    """The options of `python -m tuner.export`.

    Attributes:
        target: triton, deepstream, trtexec or policy.
        out: the folder to write.
        answer: a file that `python -m tuner.tune --out` wrote.
        configuration: instead of an answer: ACCELERATOR=INSTANCESxBATCH, as in tensor=2x8.
        serve: the networks, in the order they were tuned in.
        tensorrt: the version of TensorRT on the board: 8.6, 10 or 11.
        workspace_mib: scratch memory that a kernel may use.
        calibration: instead of samples a calibration cache for each network with INT8 engines; for
            TensorRT 11 a .npy or .npz file of inputs for NVIDIA's Model Optimizer.
        max_wait_ms: how long Triton lets a request wait for its batch to fill.
        bundle: the policy for --target policy; by default the one that comes with the project.
        overwrite: replace an older export there.
    """

    target: Optional[str] = None
    out: Optional[Path] = None
    answer: Optional[Path] = None
    configuration: Optional[list[str]] = field(default=None, metadata={"metavar": "A=NxB"})
    serve: ServeOptions = field(default_factory=ServeOptions)
    tensorrt: str = BuildOptions.tensorrt
    workspace_mib: int = BuildOptions.workspace_mib
    calibration: list[Path] = field(default_factory=list)
    max_wait_ms: float = 5.0
    bundle: Optional[Path] = None
    overwrite: bool = False


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return run(ExportCommand, export, arguments, __doc__ or "", HIDDEN)


def export(options: ExportCommand) -> None:
    """Write the folder of the target."""
    if options.target not in TARGETS:
        given = " is missing" if options.target is None else f"={options.target} is unknown"
        raise OptionError(f"target{given}: choose from {', '.join(TARGETS)}")
    if not options.out:
        raise OptionError("out is missing: name the folder to write, as in --out exported")
    out = options.out
    check_free(out, options.overwrite)  # before the work, not after it
    manifest: dict[str, Any] = {"target": options.target, "versions": versions()}
    if options.target == "policy":
        _refuse_calibration(options)
        bundle = load_bundle(options.bundle or reference_bundle())
        write_folder(out, export_policy(bundle), manifest, options.overwrite)
        print(f"wrote {out}: policy.onnx")
        return
    build = build_options(options)
    models = configured(options)
    build = with_ranges(options, models, build)
    files = files_of(options, models, build)
    write_folder(out, files, manifest | described(models, build), options.overwrite)
    for warning in warnings(models, build):
        logger.warning("%s", warning)
    print(
        f"wrote {out}: {len(models)} {'model' if len(models) == 1 else 'models'}\n{listed(models)}"
        f"\nwhat to do with it is in {out / 'README.txt'}"
    )


def build_options(options: ExportCommand) -> BuildOptions:
    """Return the build options; OptionError names a wrong one."""
    given, networks = options.calibration, options.serve.network
    if given and options.serve.samples:
        raise OptionError("calibration and samples are both given: leave one out")
    if len(given) > len(networks):
        raise OptionError(
            f"calibration has {len(given)} files for {len(networks)} networks: give one for each"
        )
    return BuildOptions(
        options.tensorrt,
        options.serve.tensor_precision or BuildOptions.tensor_precision,
        options.serve.dla_precision or BuildOptions.dla_precision,
        options.workspace_mib,
        tuple(given),
    )


def _refuse_calibration(options: ExportCommand) -> None:
    for key, value in (("calibration", options.calibration), ("samples", options.serve.samples)):
        if value:
            raise OptionError(f"{key} has no meaning for target=policy: leave it out")


def with_ranges(options: ExportCommand, models: list[Model], build: BuildOptions) -> BuildOptions:
    """Return the build options with the INT8 ranges of every model that needs some.

    Raises:
        OptionError: a calibration file would not be used, samples do not fit their network, or a
            model has neither.
        NetworkError: an accelerator cannot run a file, a network cannot be quantised, or its
            batches are no batches.
    """
    serve = options.serve
    check_mappings(str(options.target), models, build)
    if options.target != "triton":
        check_no_cpu(str(options.target), models)
    check_types(models, build)
    files = assigned(options.calibration, len(serve.network), models, build)
    build = replace(build, calibration=files)
    samples = read_all_samples(serve.samples or [], models)
    check_batches(models, samples)
    wanting = [model for model in models if build.needs_ranges(model)]
    if samples and not wanting:
        logger.warning("samples calibrate INT8, and no model of this configuration needs that")
    if not samples:
        check_ranges(models, build, serve.allow_uncalibrated)
    ranges = calibrated(wanting, samples, build.strongly_typed, serve.cache_path)
    if not build.strongly_typed:
        ranges |= translated(models)
    halves = judged_halves(models, build, samples, serve.cache_path)
    return replace(build, calibrated=ranges, halves=halves)


def read_all_samples(files: Sequence[str], models: list[Model]) -> list[Samples | None]:
    """Return the samples of each tenant, [T]; None for one that no model serves."""
    networks = {model.position: model.network for model in models}
    return [
        read_samples(file, networks[tenant]) if tenant in networks else None
        for tenant, file in enumerate(files)
    ]


def configured(options: ExportCommand) -> list[Model]:
    """Return the models of the configuration that was given, checked."""
    if (options.answer is None) == (options.configuration is None):
        raise OptionError(
            "give either answer, a file that python -m tuner.tune wrote, or configuration"
        )
    slots = given_slots(options)
    serve = options.serve
    # The precisions are those of the exported engines, not of what runs here.
    replace(serve, tensor_precision=None, dla_precision=None).check()
    paths = serve.files()
    read = [read_for_export(path) for path in paths]
    space, configuration = placed(slots, workload_of([network for network, _ in read]))
    return models_of(space, configuration, paths, [facts for _, facts in read])


def given_slots(options: ExportCommand) -> list[Slot]:
    """Return the configuration of the answer, or of the command line."""
    if options.answer is None:
        return read_slots([slot_of(text) for text in options.configuration or []], "configuration")
    answer = read_answer(options.answer)
    if not answer.confirmed:
        logger.warning(
            "caution: nothing confirmed the configuration in %s after its search",
            options.answer,
        )
    if not answer.limits_kept:
        logger.warning(
            "caution: the configuration in %s did not keep its limits when it was measured",
            options.answer,
        )
    return answer.slots


def files_of(options: ExportCommand, models: list[Model], build: BuildOptions) -> Files:
    """Return the files of the target's folder."""
    if not 0 <= options.max_wait_ms <= 60_000:
        raise OptionError(f"max_wait_ms={options.max_wait_ms} must lie in 0..60000")
    if options.serve.cores is not None and options.serve.cores < 1:
        raise OptionError(f"cores={options.serve.cores} must be at least 1")
    if options.target == "triton":
        return export_triton(
            models,
            build,
            options.max_wait_ms,
            options.serve.cores or available_cores(),
            options.serve.cache_path,
        )
    return (
        export_deepstream(models, build)
        if options.target == "deepstream"
        else export_trtexec(models, build)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
