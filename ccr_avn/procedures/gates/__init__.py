"""Pure rules with their wording: go, wait, todo or stop."""
