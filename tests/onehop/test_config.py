"""Configuration: flag > variable > file > default, and every problem at once."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.config import Config, ConfigRefused, load_config, variable_name


def test_nothing_given_is_the_documented_default() -> None:
    config = load_config({}, {})
    assert (config.port, config.api_port, config.pages_domain) == (8787, 8788, "pages.localhost")
    assert (config.host, config.api_host) == ("127.0.0.1", "127.0.0.1")
    assert config.data == Path("onehop-data")


def test_flag_beats_variable_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "onehop.toml"
    file.write_text("port = 1001\napi_port = 1002\ndc = 'file'\n")
    environ = {"ONEHOP_PORT": "2001", "ONEHOP_API_PORT": "2002", "ONEHOP_CONFIG": str(file)}
    config = load_config({"port": 3001, "dc": None}, environ)
    assert (config.port, config.api_port, config.dc) == (3001, 2002, "file")


def test_every_problem_is_reported_with_its_source_and_what_would_be_accepted(tmp_path: Path) -> None:
    file = tmp_path / "onehop.toml"
    file.write_text("workers = 0\nworkrs = 2\n")
    with pytest.raises(ConfigRefused) as refused:
        load_config({"port": "http"}, {"ONEHOP_PAGES_DOMAIN": "no spaces here"}, file=file)
    said = "\n".join(refused.value.problems)
    assert len(refused.value.problems) == 4
    for part in ("--port is 'http'", "ONEHOP_PAGES_DOMAIN", "workers in", "from 1 to 256", "workrs"):
        assert part in said


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused, match="can't be read"):
        load_config({}, {}, file=tmp_path / "absent.toml")


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_config({}, {"ONEHOP_PORT": ""}).port == 8787


def test_trusted_proxies_are_networks() -> None:
    config = load_config({"trusted_proxies": "127.0.0.1, 10.0.0.0/8"}, {})
    assert config.trusted_proxies == (ipaddress.ip_network("127.0.0.1"), ipaddress.ip_network("10.0.0.0/8"))


@pytest.mark.parametrize("port", ["-1", "65536", "8_787", "٨٧٨٧", "+1", "0x50", "", " "])
def test_a_port_is_ascii_digits_in_range(port: str) -> None:
    with pytest.raises(ConfigRefused):
        load_config({"port": port}, {})


@given(st.text(max_size=40))
def test_any_text_for_any_setting_is_taken_or_refused_by_name(text: str) -> None:
    for name in ("host", "port", "workers", "pages_domain", "dc", "url_scheme", "drain_s", "trusted_proxies"):
        try:
            assert isinstance(load_config({name: text}, {}), Config)
        except ConfigRefused as refused:
            assert "--" + name.replace("_", "-") in str(refused)


def test_variables_are_named_after_their_setting() -> None:
    assert variable_name("pages_domain") == "ONEHOP_PAGES_DOMAIN"
