"""Those who decide for many devices at once: what a node can serve, and what goes where."""
