"""SparQ decode in plain torch operations, for any device."""
