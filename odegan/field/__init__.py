"""The training field: the right-hand side f(t, y, batch) of the ODE."""
