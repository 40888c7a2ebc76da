"""Draw the reference networks and write their layers: `python -m benchmarks.drawings.write`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drawings import classifiers, darknet, detectors, sequences, ultralytics
from benchmarks.drawings.shape_builder import ShapeBuilder
from envs.catalog.architectures import ARCHITECTURES
from envs.catalog.reference_networks import DATA
from envs.graph.layer_table import LayerTable
from envs.graph.layers import table_of
from envs.graph.partition import LayerGroup


@dataclass(frozen=True)
class Drawing:
    """A network and how it is drawn.

    Attributes:
        draw: adds the network to a graph and returns its outputs.
        source: paper or code, size of the input, and what the drawing leaves out.
        inputs: shape of one sample by name; a name that ends in `ids` means integers.
    """

    draw: Callable[[ShapeBuilder], list[str]]
    source: str
    inputs: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"input": (3, 224, 224)})


def _image(height: int, width: int, channels: int = 3) -> dict[str, tuple[int, ...]]:
    return {"input": (channels, height, width)}


def _written(name: str) -> Drawing:
    return Drawing(
        lambda g: [ARCHITECTURES[name].draw(g, 224, 1000)],
        f"{ARCHITECTURES[name].source}; 224 x 224",
    )


#: Factors of the published networks, from yolov8.yaml and yolo11.yaml.
_V8 = {
    "n": ultralytics.Scale(0.33, 0.25),
    "s": ultralytics.Scale(0.33, 0.5),
    "m": ultralytics.Scale(0.67, 0.75, 768),
}
_V11 = {"n": ultralytics.Scale(0.5, 0.25), "s": ultralytics.Scale(0.5, 0.5)}


def _pose(version: str, scale: str) -> Drawing:
    draw, scales = {
        "yolov8": (ultralytics.yolov8, _V8),
        "yolo11": (ultralytics.yolo11, _V11),
    }[version]
    return Drawing(
        lambda g: draw(g, 640, scales[scale], pose=True),
        f"ultralytics, {version}-pose.yaml at scale {scale} (1 class, 17 keypoints); 640 x 640; "
        f"{_POSES}",
        _image(640, 640),
    )


def _yolov4(size: int) -> Drawing:
    return Drawing(
        lambda g: darknet.yolov4(g, size),
        "Bochkovskiy et al. 2020, arXiv:2004.10934, yolov4.cfg (80 classes), Mish as part of its "
        f"convolution; {size} x {size}; {_BOXES}",
        _image(size, size),
    )


_SHARED = "the weights of the heads, which the five levels share, count at each of them"
_BOXES = (
    "up to boxes and scores of all anchors, without their decoding and the suppression of overlaps"
)
_POSES = (
    "up to boxes, scores and keypoints of all anchors, without their decoding and the suppression "
    "of overlaps"
)
_MLPERF = "as in mlcommons/inference"

DRAWINGS: dict[str, Drawing] = {
    **{name: _written(name) for name in ARCHITECTURES},
    "resnet101": Drawing(
        lambda g: classifiers.resnet(g, (3, 4, 23, 3)),
        "He et al. 2015, arXiv:1512.03385, stride in the 3x3; 224 x 224",
    ),
    "resnet152": Drawing(
        lambda g: classifiers.resnet(g, (3, 8, 36, 3)),
        "He et al. 2015, arXiv:1512.03385, stride in the 3x3; 224 x 224",
    ),
    "vgg16": Drawing(
        lambda g: classifiers.vgg(g, (2, 2, 3, 3, 3)),
        "Simonyan, Zisserman 2014, arXiv:1409.1556; 224 x 224",
    ),
    "vgg19": Drawing(
        lambda g: classifiers.vgg(g, (2, 2, 4, 4, 4)),
        "Simonyan, Zisserman 2014, arXiv:1409.1556; 224 x 224",
    ),
    "alexnet": Drawing(
        classifiers.alexnet,
        "Krizhevsky 2014, arXiv:1404.5997, as in torchvision (one column, no normalisation); "
        "224 x 224",
    ),
    "alexnet_grouped": Drawing(
        classifiers.alexnet_grouped,
        "Krizhevsky et al. 2012, as in BVLC/caffe, models/bvlc_alexnet (two columns as groups, "
        "local response normalisation); 227 x 227",
        _image(227, 227),
    ),
    "googlenet": Drawing(
        classifiers.googlenet,
        "Szegedy et al. 2014, arXiv:1409.4842, without the auxiliary classifiers; 224 x 224",
    ),
    "inception_v4": Drawing(
        classifiers.inception_v4,
        "Szegedy et al. 2016, arXiv:1602.07261; 299 x 299",
        _image(299, 299),
    ),
    "efficientnet_b0": Drawing(
        classifiers.efficientnet_b0, "Tan, Le 2019, arXiv:1905.11946; 224 x 224"
    ),
    "mobilenet_v3_large": Drawing(
        classifiers.mobilenet_v3_large,
        "Howard et al. 2019, arXiv:1905.02244, widths as in torchvision; 224 x 224",
    ),
    "vit_b16": Drawing(
        sequences.vit_b16, "Dosovitskiy et al. 2020, arXiv:2010.11929; 224 x 224, 197 tokens"
    ),
    "resnet34_1280x768": Drawing(
        lambda g: classifiers.resnet_stages(g, (3, 4, 6, 3), bottleneck=False)[-1:],
        "He et al. 2015, arXiv:1512.03385, up to the last convolution, without a pyramid; "
        "768 rows of 1280 pixels",
        _image(768, 1280),
    ),
    "retinanet_resnet34_1280x768": Drawing(
        detectors.retinanet_resnet34,
        "Lin et al. 2017, arXiv:1708.02002; 9 anchors and, as Waymo Open has them, 3 classes "
        "(NVIDIA/Deep-Learning-Accelerator-SW measured one trained on it and states neither "
        "number), sixth level from the backbone; 768 rows of 1280 pixels; "
        f"{_BOXES}; {_SHARED}",
        _image(768, 1280),
    ),
    "retinanet_resnext50": Drawing(
        detectors.retinanet_resnext50,
        f"MLPerf Inference retinanet (ResNeXt-50 32x4d, 264 classes, 9 anchors), {_MLPERF}; "
        f"800 x 800; {_BOXES}; {_SHARED}",
        _image(800, 800),
    ),
    "ssd_mobilenet_v1": Drawing(
        detectors.ssd_mobilenet_v1,
        f"MLPerf Inference ssd-mobilenet (91 classes), {_MLPERF}; 300 x 300; {_BOXES}",
        _image(300, 300),
    ),
    "ssd_resnet34": Drawing(
        detectors.ssd_resnet34,
        f"MLPerf Inference ssd-resnet34 (81 classes), {_MLPERF}; 1200 x 1200; {_BOXES}",
        _image(1200, 1200),
    ),
    "yolov5s_672": Drawing(
        lambda g: ultralytics.yolov5s(g, 672),
        f"ultralytics/yolov5 v6, models/yolov5s.yaml (80 classes); 672 x 672; {_BOXES}",
        _image(672, 672),
    ),
    "yolov8n_640": Drawing(
        lambda g: ultralytics.yolov8(g, 640, _V8["n"]),
        f"ultralytics, yolov8.yaml at scale n (80 classes); 640 x 640; {_BOXES}",
        _image(640, 640),
    ),
    **{f"yolov8{scale}_pose_640": _pose("yolov8", scale) for scale in "sm"},
    **{f"yolo11{scale}_pose_640": _pose("yolo11", scale) for scale in "ns"},
    "yolov3_tiny_416": Drawing(
        lambda g: darknet.yolov3_tiny(g, 416),
        "Redmon, Farhadi 2018, arXiv:1804.02767, yolov3-tiny.cfg (80 classes); 416 x 416; "
        f"{_BOXES}",
        _image(416, 416),
    ),
    **{f"yolov4_{size}": _yolov4(size) for size in (320, 416, 512, 608)},
    "yolov7_640": Drawing(
        lambda g: darknet.yolov7(g, 640),
        "Wang et al. 2022, arXiv:2207.02696, yolov7.yaml as deployed (80 classes), the branches "
        f"of its last convolutions merged; 640 x 640; {_BOXES}",
        _image(640, 640),
    ),
    "bert_large": Drawing(
        sequences.bert_large,
        "Devlin et al. 2018, arXiv:1810.04805, with the two outputs of SQuAD as in MLPerf "
        "Inference bert; 384 tokens, all of them computed; attention as products and a softmax of "
        "their own; weights without the tables of embeddings, of which a sample reads a few rows",
        {"token_ids": (384,), "segment_ids": (384,), "mask": (1, 1, 384)},
    ),
    "rnnt": Drawing(
        sequences.rnnt,
        f"MLPerf Inference rnnt (He et al. 2018, arXiv:1811.06621), {_MLPERF}; approximate: one "
        "utterance of 7.2 s, about the mean of LibriSpeech dev-clean, as 240 steps of 30 ms and "
        "107 symbols, both counts estimated; the greedy decoder counts as if it ran all steps and "
        "symbols at once",
        {"input": (240, 240), "symbol_ids": (107,)},
    ),
    "unet3d": Drawing(
        lambda g: sequences.unet3d(g, 4),
        "MLPerf Inference 3d-unet until v1.1 (nnU-Net on BraTS 2019, Isensee et al. 2018, "
        "arXiv:1809.10486): one volume of 4 x 224 x 224 x 160, 4 classes",
        {"input": (4, 224, 224, 160)},
    ),
    "unet3d_kits19": Drawing(
        lambda g: sequences.unet3d(g, 3),
        "MLPerf Inference 3d-unet from v2.0 (KiTS19): one window of 128 x 128 x 128, 3 classes; a "
        "sample is a volume of as many overlapping windows as its size asks for, a number that "
        "differs from volume to volume and is not part of these layers",
        {"input": (1, 128, 128, 128)},
    ),
}


def draw_layers(name: str) -> LayerTable:
    """Return the layers of one of DRAWINGS, drawn anew."""
    drawing = DRAWINGS[name]
    graph = ShapeBuilder(drawing.inputs)
    return table_of(graph.graph(name, drawing.draw(graph)), name)


def draw_groups(name: str) -> tuple[LayerGroup, ...]:
    """Return the layer groups of one of DRAWINGS, drawn anew."""
    drawing = DRAWINGS[name]
    graph = ShapeBuilder(drawing.inputs)
    return graph.partition(name, drawing.draw(graph)).groups


def table_dict(table: LayerTable) -> dict[str, Any]:
    """Return a table ready for JSON: lists for arrays, whole numbers as integers."""
    data: dict[str, Any] = {}
    for each in fields(table):
        value = getattr(table, each.name)
        is_array = isinstance(value, np.ndarray)
        data[each.name] = list(map(_whole, value.tolist())) if is_array else _whole(value)
    return data


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _entry(name: str) -> dict[str, Any]:
    groups = [group.layers for group in draw_groups(name)]
    return {
        "source": DRAWINGS[name].source,
        **table_dict(draw_layers(name)),
        "group_layers": [len(layers) for layers in groups],
        "group_inputs": [_whole(layers.inputs) for layers in groups],
        "group_outputs": [_whole(layers.outputs) for layers in groups],
    }


def write(path: Path = DATA) -> None:
    """Write one network per line, sorted by name, so that a diff shows the changed networks."""
    lines = [
        f"{json.dumps(name)}:{json.dumps(_entry(name), separators=(',', ':'), allow_nan=False)}"
        for name in sorted(DRAWINGS)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write()
