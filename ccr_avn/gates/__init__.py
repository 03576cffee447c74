"""Pure rules with their wording: an answer in, go, wait or stop out."""
