"""The runtime of a processor: engines of ONNX Runtime."""
