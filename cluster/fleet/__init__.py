"""One training with the rollouts and recordings of many boards."""
