"""What is printed to set an option again, as the installed avn reads it."""

import shlex
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ccr_avn.procedures.old_primary import filter_command
from ccr_avn.procedures.setting import Setting
from ccr_avn.sandbox.catalogue import user_config_schema
from tests.support.avn_parser import read_by_avn


def test_a_plain_filter_is_printed_as_a_person_would_type_it() -> None:
    plain = filter_command(Setting(), "eu", ["0.0.0.0/0"])
    assert plain == """avn service update eu -c 'ip_filter=["0.0.0.0/0"]'"""
    command = filter_command(Setting(), "eu", [{"network": "10.0.0.0/8", "description": None}])
    assert """'ip_filter=[{"network": "10.0.0.0/8", "description": None}]'""" in command


words = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
)


@settings(max_examples=30)
@given(st.lists(words | st.dictionaries(words, values, max_size=4), max_size=4))
def test_whatever_is_in_a_filter_avn_sets_that(ip_filter: list[Any]) -> None:
    """When it is pasted: a shell's words, avn's own arguments, avn's own conversion."""
    avn = read_by_avn(shlex.split(filter_command(Setting(), "eu", ip_filter))[1:])
    assert avn.create_user_config(user_config_schema("valkey"))["ip_filter"] == ip_filter
