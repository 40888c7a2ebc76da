"""Layers as the inspector names them.

The DLA engine is that of NVIDIA/TensorRT issue 3143; the Myelin block is of a transformer on a GPU.
"""

from __future__ import annotations

import json

import pytest

from envs.runtimes.tensorrt.inspect import placed_layers
from tests.envs.runtimes.tensorrt.on_device import tensor_core_layers

DLA_NAMES = [
    "images to nvm",
    "{ForeignNode[Conv_0...Concat_198]}",
    "head_3 from nvm",
    "images copy finish",
    "head_3 copy finish",
    "head_2 from nvm",
]


def told(*layers: object) -> str:
    return json.dumps({"Layers": list(layers), "Bindings": ["images", "head_3"]})


def test_one_block_and_copies_is_all_on_the_dla() -> None:
    layers = placed_layers(told(*DLA_NAMES), on_dla=True)
    assert layers.dla == ("{ForeignNode[Conv_0...Concat_198]}",)
    assert layers.gpu == ()
    assert len(layers.copies) == 5
    assert not layers.fell_back
    assert layers.describe() == "all on the DLA, in one block, with 5 copies around it"


def test_a_layer_on_the_gpu_is_a_fallback_that_names_it() -> None:
    reformat = {
        "Name": "Reformatting CopyNode for Output Tensor 0 to Softmax_9",
        "LayerType": "Reformat",
    }
    cast = {"Name": "logits/to_float", "LayerType": "Cast"}
    softmax = {"Name": "Softmax_9", "LayerType": "CaskSoftMaxV2", "TacticName": "sm80_softmax"}
    layers = placed_layers(
        told(*({"Name": name, "LayerType": ""} for name in DLA_NAMES), reformat, cast, softmax),
        on_dla=True,
    )
    assert len(layers.copies) == 7  # a type that changes at the border is one of them
    assert layers.gpu == ("Softmax_9",)
    assert layers.fell_back
    assert layers.describe() == "1 blocks on the DLA and 1 layers on the GPU: Softmax_9"


def test_leaving_the_dla_in_between_is_a_fallback_as_well() -> None:
    layers = placed_layers(told(*DLA_NAMES, "{ForeignNode[Conv_200...Conv_210]}"), on_dla=True)
    assert len(layers.dla) == 2  # two of the sixteen loadables
    assert layers.fell_back


def test_nothing_on_the_dla_is_a_fallback() -> None:
    assert placed_layers(
        told({"Name": "conv", "LayerType": "CaskConvolution"}), on_dla=True
    ).fell_back


def test_a_foreign_node_of_myelin_is_the_gpu() -> None:
    block = {"Name": "{ForeignNode[/encoder/MatMul.../head/Add]}", "LayerType": "Myelin"}
    assert placed_layers(told(block), on_dla=True).gpu == (block["Name"],)
    assert placed_layers(told(block["Name"]), on_dla=False).gpu == (block["Name"],)


def test_the_kernels_name_tells_of_tensor_cores() -> None:
    layers = [
        {
            "Name": "a",
            "LayerType": "CaskConvolution",
            "TacticName": "sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc_nhwc_"
            "tilesize128x64x64_tensor16x8x16",
        },
        {
            "Name": "b",
            "LayerType": "CaskConvolution",
            "TacticName": "ampere_scudnn_128x64_relu_xregs_large_nn_v1",
        },
        {
            "Name": "c",
            "LayerType": "CaskConvolution",
            "TacticName": "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc",
        },
        {
            "Name": "d",
            "LayerType": "CaskGemmConvolution",
            "TacticName": "ampere_h16816gemm_64x64_sliced1x2_ldg8_stages_64x5_tn_v1",
        },
        "names alone",
    ]
    assert tensor_core_layers(told(*layers)) == ("a", "c", "d")


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"Layers": 3}'])
def test_what_is_no_list_of_layers_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="engine inspector"):
        placed_layers(text, on_dla=True)
