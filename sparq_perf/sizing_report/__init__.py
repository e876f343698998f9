"""A sizing as one HTML page: the answer, the trade-offs drawn, and a panel that moves the settings offline."""
