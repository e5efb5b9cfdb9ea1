"""Integration of a training field: steps, runs, their reports, and the callbacks around them."""
