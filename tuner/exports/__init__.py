"""What other servers need, written from a configuration; and the policy as ONNX. Each target is a pure function to the files of a folder."""
