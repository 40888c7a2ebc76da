"""Networks that ship inside packages, served through `open_device` as their users would."""

from __future__ import annotations

import logging
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from PIL import Image, ImageDraw, ImageFont

from envs.errors import NetworkError
from envs.spec import COSINE
from tuner.device import Device, open_device

Array = npt.NDArray[Any]

#: Small spaces: one instance, one request or four at a time.
SPACE: dict[str, Any] = {"max_instances": 1, "batches": [1, 4]}

WORDS = [
    "Batch",
    "Cosine",
    "Tensor",
    "Orin",
    "Kernel",
    "Stream",
    "Latency",
    "Power",
    "Engine",
    "Sample",
    "Window",
    "Answer",
    "Device",
    "Queue",
    "Cache",
    "Trace",
]

#: What magika pads short files with, and the bytes that it looks at on either end.
PADDING, LOOKED_AT = 256, 1024


def packaged(package: str, pattern: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    [path] = Path(spec.submodule_search_locations[0]).rglob(pattern)
    return path


def first_and_last_bytes(path: Path) -> Array:
    """Return what magika takes of a file: the bytes at both ends, as whole numbers [2048]."""
    content = np.frombuffer(path.read_bytes().strip(), np.uint8).astype(np.int32)
    first, last = content[:LOOKED_AT], content[-LOOKED_AT:]
    lacking = LOOKED_AT - len(first)
    return np.concatenate(
        [
            np.pad(first, (0, lacking), constant_values=PADDING),
            np.pad(last, (lacking, 0), constant_values=PADDING),
        ]
    )


def python_files(count: int) -> Array:
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:count]
    return np.stack([first_and_last_bytes(each) for each in files])


def pictures_of_words(height: int, width: int, count: int, turned: bool = False) -> Array:
    """Return pictures of printed words [n, 3, height, width], -1..1 as PaddleOCR takes them."""
    rng, pictures = np.random.default_rng(0), []
    for position, word in enumerate(WORDS[:count]):
        picture = Image.new("RGB", (width, height), (230, 230, 230))
        size = 30 if height < 64 else 20
        top = int(rng.integers(2, max(3, height - size - 12)))
        font = ImageFont.load_default(size=size)
        ImageDraw.Draw(picture).text((6, top), word, fill=(20, 20, 40), font=font)
        if turned and position % 2:
            picture = picture.rotate(180)
        pictures.append((np.asarray(picture, np.float32) / 255 - 0.5) / 0.5)
    return np.stack(pictures).transpose(0, 3, 1, 2).copy()


def saved(folder: Path, **arrays: Array) -> list[str]:
    np.savez(folder / "samples.npz", **arrays)
    return [str(folder / "samples.npz")]


def served(device: Device, placements: dict[str, tuple[int, int]], inputs: Array) -> Array:
    device.runtime.apply(device.configuration(placements))
    name = device.space.workload.tenants[0].network.outputs[0].name
    futures = [device.runtime.submit(0, each) for each in inputs]
    return np.stack([future.result(60)[name] for future in futures])


def of_onnx_runtime(path: Path, inputs: Array) -> Array:
    """Return the answers of ONNX Runtime alone, one sample at a time."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    answers = [session.run(None, {name: each[None]})[0] for each in inputs]
    return np.concatenate(answers)


def test_magika_serves_in_int8_what_it_serves_in_fp32(tmp_path: Path) -> None:
    path, files = packaged("magika", "model.onnx"), python_files(24)
    samples = saved(tmp_path, bytes=files)
    with open_device(path, samples=samples, cache=str(tmp_path), **SPACE) as device:
        expected = of_onnx_runtime(path, files)
        np.testing.assert_allclose(
            served(device, {"cpu_fp32": (1, 4)}, files), expected, rtol=1e-3, atol=1e-5
        )
        in_int8 = served(device, {"cpu_int8": (1, 4)}, files)
        agreement = device.agreements[0, 1]
    assert len(set(expected.argmax(axis=1))) == 1, "all of them are Python"
    assert (in_int8.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.95
    assert (agreement.samples, agreement.calibrated_on) == (12, 12)
    assert agreement.value >= 0.99
    print(f"magika: {agreement.describe()}")


def test_the_turn_of_a_line_is_told_in_int8(tmp_path: Path) -> None:
    path = packaged("rapidocr_onnxruntime", "*_cls_*.onnx")
    lines = pictures_of_words(48, 192, 16, turned=True)
    options: dict[str, Any] = {"samples": saved(tmp_path, x=lines), "shape": ["x:1x3x48x192"]}
    with open_device(path, cache=str(tmp_path), **SPACE, **options) as device:
        expected = of_onnx_runtime(path, lines)
        np.testing.assert_allclose(
            served(device, {"cpu_fp32": (1, 4)}, lines), expected, rtol=1e-3, atol=1e-4
        )
        in_int8 = served(device, {"cpu_int8": (1, 4)}, lines)
        agreement = device.agreements[0, 1]
    assert (expected.argmax(axis=1) == np.arange(16) % 2).mean() > 0.8, "it tells turned lines"
    assert (in_int8.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.9
    assert agreement.samples == 8
    print(f"cls: {agreement.describe()}")


@pytest.mark.parametrize(("part", "height", "width"), [("det", 64, 64), ("rec", 48, 96)])
def test_readers_of_text_are_served_and_their_int8_is_judged(
    part: str, height: int, width: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = packaged("rapidocr_onnxruntime", f"*_{part}_*.onnx")
    pictures = pictures_of_words(height, width, 6)
    options: dict[str, Any] = {"shape": [f"x:1x3x{height}x{width}"], "min_agreement": 0.995}
    options["samples"] = saved(tmp_path, x=pictures)
    with (
        caplog.at_level(logging.WARNING),
        open_device(path, cache=str(tmp_path), **SPACE, **options) as device,
    ):
        answers = served(device, {"cpu_fp32": (1, 4)}, pictures)
        agreement = device.agreements[0, 1]
        left_out = (0, 1) in device.space.unavailable
    np.testing.assert_allclose(answers, of_onnx_runtime(path, pictures), rtol=1e-2, atol=1e-3)
    # Hard swishes and depthwise layers lose more than this limit allows in INT8.
    assert agreement.quantity == COSINE
    assert 0.5 < agreement.value < 0.995
    assert left_out
    assert "its answers agree with FP32 only to" in caplog.text
    print(f"{part}: {agreement.describe()}")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("silero_vad", {}),
        ("silero_vad", {"shape": ["input:1x576"], "fix": ["sr:16000"]}),
        ("silero_vad_16k_op15", {"shape": ["input:1x576"], "fix": ["sr:16000"]}),
        ("silero_vad_half", {"shape": ["input:1x576"]}),
    ],
)
def test_a_state_that_is_carried_on_is_refused(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    path = packaged("silero_vad", f"{name}.onnx")
    with pytest.raises(NetworkError, match=r"input 'state' .* requests are independent here"):
        open_device(path, cache=str(tmp_path), **SPACE, **options)
