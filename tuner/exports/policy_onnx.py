"""The policy as one ONNX file, written from the arrays of a bundle.

It computes the same as `tuner.policy.forward.NumpyPolicy`, in double precision as well.
"""

import json
from typing import Any

import numpy as np

from envs.belief.features import ALLOWED, FEATURES
from envs.optional import optional_import
from tuner.exports.folder import Files
from tuner.policy.bundle import TRUSTED, Bundle

OPSET, IR_VERSION = 17, 8


def export_policy(bundle: Bundle) -> Files:
    """Return a folder with policy.onnx and how to use it."""
    return {"policy.onnx": policy_model(bundle).SerializeToString(), "README.txt": _readme(bundle)}


def policy_model(bundle: Bundle) -> Any:
    """Return the ModelProto.

    It maps an observation, float32 [P, F], to scores, double [P] (-inf where a proposal may not be
    chosen), and to a choice, int64 [].
    """
    onnx = optional_import("onnx", "networks")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        _nodes(helper, kinds.DOUBLE),
        "policy",
        [helper.make_tensor_value_info("observation", kinds.FLOAT, ["proposals", len(FEATURES)])],
        [
            helper.make_tensor_value_info("scores", kinds.DOUBLE, ["proposals"]),
            helper.make_tensor_value_info("choice", kinds.INT64, []),
        ],
        initializer=[
            onnx.numpy_helper.from_array(array, name) for name, array in _constants(bundle).items()
        ],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="orin-tuner",
    )
    helper.set_model_props(
        model,
        {
            "budget": str(bundle.budget),
            "features": json.dumps(bundle.features),
            "provenance": json.dumps(bundle.provenance, sort_keys=True),
        },
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _constants(bundle: Bundle) -> dict[str, np.ndarray[Any, Any]]:
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name, array in bundle.weights.items():
        found[name] = np.ascontiguousarray(array.T) if array.ndim == 2 else array
    found["trust"] = bundle.weights["trust"].reshape(-1, 1)
    return found | {
        "trusted": np.array(TRUSTED, dtype=np.int64),
        "allowed": np.array(ALLOWED, dtype=np.int64),
        "half": np.array(0.5, dtype=np.float64),
        "never": np.array(-np.inf, dtype=np.float64),
        "last": np.array([1], dtype=np.int64),
    }


class _Nodes:
    """Collects nodes in the order they are computed; each method returns the name of a result."""

    def __init__(self, helper: Any, double: int) -> None:
        self._helper, self._double = helper, double
        self.nodes: list[Any] = []

    def add(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(
            self._helper.make_node(kind, list(inputs), [name], name=name, **attributes)
        )
        return name

    def double(self, name: str) -> str:
        return self.add("Cast", f"{name}.double", name, to=self._double)

    def linear(self, name: str, values: str) -> str:
        product = self.add("MatMul", f"{name}.product", values, self.double(f"{name}.weight"))
        return self.add("Add", f"{name}.result", product, self.double(f"{name}.bias"))


def _nodes(helper: Any, double: int) -> list[Any]:
    """Return the forward pass, with the names of `NumpyPolicy.scores`."""
    graph = _Nodes(helper, double)
    values = graph.double("observation")
    each = graph.add("Relu", "each", graph.linear("first", values))
    mean = graph.add("ReduceMean", "mean", each, axes=[0], keepdims=1)
    most = graph.add("ReduceMax", "most", each, axes=[0], keepdims=1)
    common = graph.linear("summary", graph.add("Concat", "pooled", mean, most, axis=1))
    own = graph.add("Relu", "own", graph.add("Add", "seen", graph.linear("second", each), common))
    trusted = graph.add("Gather", "trusted.values", values, "trusted", axis=1)
    scores = graph.add(
        "Add",
        "column",
        graph.linear("score", own),
        graph.add("MatMul", "trusted.score", trusted, graph.double("trust")),
    )
    allowed = graph.add(
        "Greater",
        "allowed.mask",
        graph.add("Gather", "allowed.values", values, "allowed", axis=1),
        "half",
    )
    graph.add("Where", "scores", allowed, graph.add("Squeeze", "row", scores, "last"), "never")
    graph.add("ArgMax", "choice", "scores", axis=0, keepdims=0)
    return graph.nodes


def _readme(bundle: Bundle) -> str:
    return (
        "The policy of orin-tuner as one ONNX file, written by python -m tuner.export"
        " --target policy.\n\n"
        f"  observation  float32 [proposals, {len(FEATURES)}], the features that"
        " envs/belief/features.py describes; their names are in the metadata\n"
        "  scores       double [proposals], -inf where a proposal may not be chosen\n"
        "  choice       int64, the proposal to measure next\n\n"
        "It computes in double precision, as a decision with the bundle does. An episode has"
        f" {bundle.budget} measurements.\n"
    )
