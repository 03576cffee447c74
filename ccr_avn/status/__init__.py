"""How every pair of a project stands: one answer of avn, and a look at each data plane."""
