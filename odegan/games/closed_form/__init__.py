"""Games whose field, flow or equilibrium is known in closed form; they take batch=None."""
