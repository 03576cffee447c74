"""The procedures, one a file: a frozen request and the pure function that makes its plan."""
