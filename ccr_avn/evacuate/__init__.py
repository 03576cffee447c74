"""Every pair of a cloud moved: chosen, scheduled, and told of; each by the plan that moves one."""
