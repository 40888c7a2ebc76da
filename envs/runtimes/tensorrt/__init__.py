"""The runtime of a GPU and its DLAs: engines of TensorRT."""
