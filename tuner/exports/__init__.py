"""Files that other servers need, written from a configuration, and the policy as ONNX.

Each target is a pure function that returns the files of a folder.
"""
