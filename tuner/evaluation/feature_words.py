"""The features of an observation in plain words, for plots and tables."""

#: Words for each feature of `envs.belief.features.FEATURES`.
FEATURE_WORDS = {
    "allowed": "may be chosen",
    "windows": "how often it was measured",
    "is_best": "is the best so far",
    "log_score_over_best": "expected score against the best so far",
    "score_spread": "uncertainty of its score",
    "log_chance_feasible": "chance that it keeps the limits",
    "worst_margin": "safety margin, in standard deviations",
    "worst_distance": "safety margin at the tightest limit",
    "worst_spread": "uncertainty at the tightest limit",
    "expected_gain": "expected gain, limits left aside",
    "acquisition": "log of expected gain times chance",
    "net_gain": "expected gain, net of the risk",
    "chance_better": "chance that it beats the best so far",
    "log_score_over_promise": "expected score against the best believed",
    "log_cost": "seconds that measuring it takes",
    "gain_per_second": "expected gain net of the risk, per second",
    "relative_gain": "expected gain against the largest one",
    "relative_gain_per_second": "the same, per second where seconds are limited",
    "used": "measurements used",
    "left": "measurements left",
    "has_best": "something kept the limits already",
    "best_over_promise": "best so far against the best believed",
    "power_limited": "there is a limit on power",
    "latency_limited": "there is a limit on latency",
    "last_broke": "the last measurement broke a limit",
    "seconds_left": "seconds left",
    "surprise": "how wrong the belief was so far",
    "last_surprise": "how wrong the belief was last",
    "log_risk": "price of a broken limit",
    "rate_limited": "there is a least rate",
    "goal_energy": "the goal is energy",
    "goal_latency": "the goal is latency",
    "two_tenants": "there are several networks",
    "has_dla": "the device has DLAs",
    "plain": "the device is a plain computer",
}


def words_of(feature: str) -> str:
    """Return a feature in plain words; its name with spaces where the table has none."""
    return FEATURE_WORDS.get(feature, feature.replace("_", " "))
