"""Configurations and networks to export: made of numbers, real small ones, or by hypothesis."""

from __future__ import annotations

from pathlib import Path

import onnx
from hypothesis import strategies as st
from onnx import helper

from envs.spec import ACCELERATORS, Network, Tenant, TensorSpec, Workload
from tuner.exports.answers import Slot, placed
from tuner.exports.facts import Facts
from tuner.exports.models import Model, models_of

#: Names that files and graphs may have, and that break careless code.
NASTY = [
    *(
        "../../x",
        "/etc/passwd",
        'a"b\\',
        "it's",
        "two\nlines",
        "a b",
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned #",
    ),
    *('name" platform: "x', "-rf", "é∞", ""),
]

PLAIN = Facts()
PICTURE = (TensorSpec("input", (3, 8, 8), "float32"),)
LOGITS = (TensorSpec("logits", (10,), "float32"),)


def network(
    name: str = "small",
    inputs: tuple[TensorSpec, ...] = PICTURE,
    outputs: tuple[TensorSpec, ...] = LOGITS,
) -> Network:
    """Return a network that exists only as numbers."""
    return Network(name, "0" * 64, 1000, 1000, 1000, 3, inputs, outputs, None)


def models(
    *slots: tuple[str, int, int], of: Network | None = None, facts: Facts = PLAIN
) -> list[Model]:
    """Return the models of one tenant: (accelerator, instances, batch) each."""
    found = of or network()
    return models_of(
        *placed([Slot(None, *slot) for slot in slots], Workload((Tenant(found.name, found),))),
        [Path("small.onnx")],
        [facts],
    )


def write_relu(
    path: Path, shape: tuple[int | str, ...] = ("n", 3, 8, 8), name: str = "input"
) -> Path:
    """Write a real graph of one operator."""
    ends = [
        helper.make_tensor_value_info(each, onnx.TensorProto.FLOAT, shape)
        for each in (name, "output")
    ]
    graph = helper.make_graph(
        [helper.make_node("Relu", [name], ["output"])], "g", ends[:1], ends[1:]
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
names = st.one_of(
    st.sampled_from([name for name in NASTY if name]), st.text(letters, min_size=1, max_size=12)
)
dtypes = st.sampled_from(["float32", "float16", "int32", "int64", "uint8", "int8", "bool"])
specs = st.builds(TensorSpec, names, st.lists(st.integers(1, 2**31), max_size=4).map(tuple), dtypes)
tensors = st.lists(specs, min_size=1, max_size=3, unique_by=lambda spec: spec.name).map(tuple)


@st.composite
def configured(draw: st.DrawFn, accelerators: tuple[str, ...] = tuple(ACCELERATORS)) -> list[Model]:
    """Draw a valid configuration of one to three tenants with any names on some accelerators."""
    called = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    workload = Workload(
        tuple(Tenant(name, network(name, draw(tensors), draw(tensors))) for name in called)
    )
    slots = []
    for name in called:
        for accelerator in draw(st.lists(st.sampled_from(accelerators), min_size=1, unique=True)):
            limits = ACCELERATORS[accelerator]
            instances, batch = (
                draw(st.integers(1, most or 64))
                for most in (limits.max_instances, limits.max_batch)
            )
            slots.append(Slot(name, accelerator, instances, batch))
    return models_of(
        *placed(slots, workload),
        [Path(f"{position}.onnx") for position in range(len(called))],
        [PLAIN] * len(called),
    )
