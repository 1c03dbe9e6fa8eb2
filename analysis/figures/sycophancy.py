"""The experiment's headline behaviour beside the controls that could explain it away, over sqrt(KL)."""
