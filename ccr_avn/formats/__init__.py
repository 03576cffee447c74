"""Results as other programs read them: monitoring systems' own text formats, and files that they pick up."""
