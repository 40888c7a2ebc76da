"""Find out whether answers are right: samples, calibration, and agreement with FP32."""
