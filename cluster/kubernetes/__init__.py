"""Place `InferenceApplication`s on the boards of a Kubernetes cluster: a controller."""
