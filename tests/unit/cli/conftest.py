"""What is typed in several tests."""

from tests.support.in_process import types  # noqa: F401 (a fixture)
