"""No unit test starts a process by accident: whatever is not registered is refused."""

import pytest
from pytest_subprocess import FakeProcess


@pytest.fixture(autouse=True)
def no_real_process(fp: FakeProcess) -> FakeProcess:
    return fp
