"""Are the answers right? Samples, calibration, and the agreement of accelerators with FP32."""
