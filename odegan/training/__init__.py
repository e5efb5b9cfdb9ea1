"""Integration of a training field: steps, runs, what they report and what happens around them."""
