"""ONNX files, read as the kernels that an inference engine runs."""
