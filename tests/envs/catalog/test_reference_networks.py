from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drawings.write import table_dict
from benchmarks.drawings.write import write as write_all
from envs.catalog.architectures import ARCHITECTURES
from envs.catalog.reference_networks import (
    DATA,
    reference_groups,
    reference_names,
    reference_network,
)
from envs.errors import OptionError
from envs.graph.layer_table import LAYER_KINDS, joined
from envs.graph.layers import read_network_and_layers
from envs.graph.partition import partition_of

#: Multiply-accumulates in 10^9, parameters in 10^6 (None if the source gives none that compares),
#: relative tolerance of the multiply-accumulates.
TV = 0.01  # https://docs.pytorch.org/vision/stable/models.html rounds to two digits
PUBLISHED = {
    # He et al. 2015, block table with the stride in the 3x3: 4 089 184 256; 25.5 M in convolutions
    # and the last layer.
    "resnet50": (4.089184256, 25.53, 1e-9),
    "resnet18": (1.81, 11.69, TV),
    "resnet101": (7.80, 44.55, TV),
    "resnet152": (11.51, 60.19, TV),
    "mobilenet_v2": (0.30, 3.50, TV),
    "squeezenet1_1": (0.35, 1.24, TV),
    "densenet121": (2.83, 7.98, TV),
    "vgg11": (7.61, 132.86, TV),
    "vgg16": (15.47, 138.36, TV),
    "vgg19": (19.63, 143.67, TV),
    "alexnet": (0.71, 61.10, TV),
    # Layers by hand: 105.4, 223.9, 149.5, 112.1 and 74.8 in convolutions, 58.6 in products.
    "alexnet_grouped": (0.7244, 60.97, 0.001),
    "efficientnet_b0": (0.39, 5.29, 0.02),
    "mobilenet_v3_large": (0.22, 5.48, 0.02),
    "vit_b16": (17.56, 86.57, TV),
    # Szegedy et al. 2014: 1.5 billion multiply-adds, 7.0 M in the Caffe model of the same layers.
    "googlenet": (1.58, 7.00, TV),
    # Published for timm's inception_v4 at 299 x 299.
    "inception_v4": (12.28, 42.68, TV),
    # Reddi et al. 2019, arXiv:1911.02549, table of models: 433 and 2.47 GOPs, two per
    # multiply-accumulate; 6.91 M with all of its normalization.
    "ssd_resnet34": (433 / 2, None, TV),
    "ssd_mobilenet_v1": (2.47 / 2, 6.91, 0.02),
    # Layers of Lin et al. 2017 by hand: 13 343 positions of five levels, heads of 8 convolutions
    # and 264 + 4 results for 9 anchors, and the published 4.23 of ResNeXt-50 32x4d at 224 x 224,
    # scaled to 800 x 800; the convolutions of the pyramid itself are the rest.
    "retinanet_resnext50": (
        13343 * (8 * 589824 + 2304 * 9 * 268) / 1e9 + 4.23 * (800 / 224) ** 2 + 9.5,
        None,
        0.01,
    ),
    # 24 layers of 12 * 1024^2 weights on 384 tokens, and two products of attention.
    "bert_large": (24 * (12 * 1024**2 * 384 + 2 * 384**2 * 1024) / 1e9, 302.3, 0.001),
    # ultralytics/yolov5 README, v6: 16.5 GFLOPs at 640 x 640, 7.2 M.
    "yolov5s_672": (16.5 / 2 * (672 / 640) ** 2, 7.2, TV),
    # Ultralytics documentation, YOLOv8n: 8.7 GFLOPs, 3.2 M.
    "yolov8n_640": (8.7 / 2, 3.2, 0.02),
    # Ultralytics documentation, pose models at 640 x 640: 30.2, 81.0, 7.4 and 23.1 GFLOPs, 11.6,
    # 26.4, 2.9 and 9.9 M. The counter behind them leaves out the two products of YOLO11's
    # attention, 0.031 and 0.061 here.
    "yolov8s_pose_640": (30.2 / 2, 11.6, TV),
    "yolov8m_pose_640": (81.0 / 2, 26.4, TV),
    "yolo11n_pose_640": (7.4 / 2 + 0.031, 2.9, 0.015),
    "yolo11s_pose_640": (23.1 / 2 + 0.061, 9.9, TV),
    # pjreddie.com/darknet/yolo: 5.56 billion operations at 416 x 416; 8.86 M in its weights file.
    "yolov3_tiny_416": (5.56 / 2, 8.86, TV),
    # AlexeyAB/darknet README: 60.1, 91.1 and 128.5 billion operations at 416, 512 and 608 pixels,
    # which grow with the pixels; 64.4 M in its weights file.
    "yolov4_320": (60.1 / 2 * (320 / 416) ** 2, 64.4, TV),
    "yolov4_416": (60.1 / 2, 64.4, TV),
    "yolov4_512": (91.1 / 2, 64.4, TV),
    "yolov4_608": (128.5 / 2, 64.4, TV),
    # Wang et al. 2022, arXiv:2207.02696, table 1: 104.7 GFLOPs at 640 x 640, 36.9 M.
    "yolov7_640": (104.7 / 2, 36.9, TV),
    # nnU-Net's 3-D network of full resolution on BraTS and KiTS: 31.2 M parameters.
    "unet3d": (None, 31.2, TV),
    "unet3d_kits19": (None, 31.2, TV),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_totals_are_as_published(name: str) -> None:
    macs, parameters, tolerance = PUBLISHED[name]
    table = reference_network(name)
    if macs is not None:
        assert table.total_macs == pytest.approx(macs * 1e9, rel=tolerance)
    if parameters is not None:
        # Normalization folds into one bias per channel: slightly fewer parameters are read than
        # were trained.
        assert table.weights.sum() == pytest.approx(parameters * 1e6, rel=0.02)


def test_stages_of_resnet50_are_as_published() -> None:
    table = reference_network("resnet50")
    assert len(table) == 56  # 53 convolutions, two pools, one product
    multiplied = table.macs[table.macs > 0]
    # conv1, stages of 3, 4, 6 and 3 blocks of three convolutions and one shortcut, the classifier.
    ends = np.cumsum([0, 1, 10, 13, 19, 10, 1])
    stages = [multiplied[start:end].sum() / 1e6 for start, end in pairwise(ends)]
    assert stages == pytest.approx([118.0, 667.9, 1027.6, 1464.3, 809.2, 2.0], abs=0.06)
    # Activations of 28.4 M elements: inputs, outputs and residuals of convolutions, and both pools.
    assert table.reads.sum() + table.writes.sum() == pytest.approx(28.4e6, rel=0.001)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "vgg11"])
def test_layers_of_the_written_file_are_those_of_the_drawing(
    name: str, written: Callable[[str], Path]
) -> None:
    _, layers = read_network_and_layers(written(name))
    assert table_dict(layers) == table_dict(reference_network(name))


@pytest.mark.parametrize("name", reference_names())
def test_layer_groups_are_all_of_the_network(name: str) -> None:
    table, groups = reference_network(name), reference_groups(name)
    for column in ("kind", "macs", "weights", "reads", "writes", "reduction", "channels", "dla"):
        parts = [getattr(group, column) for group in groups]
        assert np.array_equal(np.concatenate(parts), getattr(table, column))
    assert groups[0].inputs == table.inputs
    # Tensors that cross an end cross the next beginning; the rest leaves the network.
    assert all(one.outputs >= two.inputs for one, two in pairwise(groups))
    assert joined(groups).outputs == table.outputs


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "densenet121"])
def test_layer_groups_of_the_written_file_are_those_of_the_drawing(
    name: str, written: Callable[[str], Path]
) -> None:
    found = [table_dict(group.layers) for group in partition_of(written(name)).groups]
    assert found == [table_dict(group) for group in reference_groups(name)]


@pytest.mark.parametrize("name", reference_names())
def test_every_network_is_whole(name: str) -> None:
    table = reference_network(name)
    assert table is reference_network(name)
    assert table.name == name
    assert json.loads(DATA.read_text(encoding="utf-8"))[name]["source"]
    multiplies = table.macs > 0
    assert (multiplies == (table.kind < LAYER_KINDS.index("pool"))).all()
    assert (multiplies == (table.reduction > 0)).all()
    assert (multiplies == (table.channels > 0)).all()
    assert (table.reads > 0).all()
    assert (table.writes > 0).all()
    # A product has one result per dot product; a recurrent layer has gates besides.
    plain = multiplies & (table.kind != LAYER_KINDS.index("recurrent"))
    assert table.writes[plain] == pytest.approx(table.macs[plain] / table.reduction[plain])


@pytest.mark.parametrize(
    "name",
    ["resnet50", "resnet34_1280x768", "ssd_resnet34", "retinanet_resnext50", "yolov5s_672"],
)
def test_networks_that_nvidia_runs_on_dlas_are_supported_whole(name: str) -> None:
    assert reference_network(name).dla.all()


def test_two_way_pyramids_are_drawn_with_all_of_their_layers() -> None:
    def count(name: str, kind: str) -> int:
        return int((reference_network(name).kind == LAYER_KINDS.index(kind)).sum())

    # yolov4.cfg and yolov3-tiny.cfg have 110 and 13 sections "convolutional"; SPP has three pools.
    assert (count("yolov4_416", "conv"), count("yolov4_416", "pool")) == (110, 3)
    assert (count("yolov3_tiny_416", "conv"), count("yolov3_tiny_416", "pool")) == (13, 6)
    # A depthwise layer in the attention, and two in the scores of each of three maps.
    assert (count("yolo11n_pose_640", "depthwise"), count("yolo11n_pose_640", "matmul")) == (7, 2)
    # Anchors at strides 8, 16 and 32 with 64 numbers of a box, a class and 51 of keypoints.
    assert reference_network("yolov8m_pose_640").outputs == (6400 + 1600 + 400) * 116


def test_dla_support_of_networks_in_part() -> None:
    assert not reference_network("unet3d").dla.any()
    squeezenet = reference_network("squeezenet1_1")  # its last pool covers 13 x 13 pixels
    assert (squeezenet.dla_segments, int((~squeezenet.dla).sum())) == (1, 1)
    mobilenet = reference_network("mobilenet_v3_large")
    assert 0 < mobilenet.macs[mobilenet.dla].sum() < mobilenet.total_macs
    assert reference_network("bert_large").dla_segments > 24


def test_unknown_name_lists_the_names() -> None:
    known = "choose from alexnet, alexnet_grouped,"
    with pytest.raises(OptionError, match=f"unknown reference network 'lenet': {known}"):
        reference_network("lenet")


def test_the_file_is_what_the_command_writes(tmp_path: Path) -> None:
    write_all(tmp_path / "data" / "networks.json")
    assert (tmp_path / "data" / "networks.json").read_bytes() == DATA.read_bytes()
    assert tuple(json.loads(DATA.read_text(encoding="utf-8"))) == reference_names()
