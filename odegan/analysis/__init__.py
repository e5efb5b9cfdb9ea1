"""Linear analysis of a training field: eigenvalues, the largest stable step, the path angle."""
