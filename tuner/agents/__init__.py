"""PPO of stable-baselines3: the policy network, training, and its run folder."""
