"""What is said to avn, and what its answers mean."""
