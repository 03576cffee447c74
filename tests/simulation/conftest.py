"""A pair of real servers, and the same pair of the model, for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.simulation.sides import Model, Real, pair


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    with pair(Real()) as side:
        yield side


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with pair(Model()) as side:
        yield side
