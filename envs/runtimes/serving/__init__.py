"""A live runtime over any kind of engine: instances, queues, load and windows."""
