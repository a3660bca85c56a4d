"""Configuration: flag > ONEHOP_… variable > TOML file > default, parsed once into a frozen value.

Every problem is reported at once, each naming where the value came from and what would be accepted.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Literal

from onehop.listener_limits import Limits, parse_limits

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

DATA_DEFAULT: Final = Path("onehop-data")
PAGES_DOMAIN_DEFAULT: Final = "pages.localhost"
WORKERS_MAX: Final = 256
PORT_MAX: Final = 65535
DRAIN_S_MAX: Final = 3600.0
DOMAIN: Final = re.compile(
    r"(?=.{1,190}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+"
)
LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class ConfigRefused(ValueError):
    """One or more settings can't be used; `problems` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Config:
    """What `onehop serve` and its kin need to know. Times in seconds; port 0 means any free one."""

    data: Path = DATA_DEFAULT
    host: str = "127.0.0.1"
    port: int = 8787
    api_host: str = "127.0.0.1"
    api_port: int = 8788
    workers: int = 1
    pages_domain: str = PAGES_DOMAIN_DEFAULT
    dc: str = "local"
    url_scheme: Literal["http", "https"] = "http"
    url_port: int | None = None
    trusted_proxies: tuple[IpNetwork, ...] = ()
    drain_s: float = 10.0
    limits: Limits = field(default_factory=dict)
    log_format: Literal["console", "json"] = "console"
    access_log: Literal["off", "stderr"] | Path = "off"
    access_log_share: float = 1.0
    workerd: Path | None = None
    functions_memory_mib: int = 768


def parse_int(low: int, high: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def parse_choice(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError(" or ".join(choices))
        return value

    return parse


def parse_text(pattern: re.Pattern[str], accepted: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        text = str(value).strip()
        if pattern.fullmatch(text) is None:
            raise ValueError(accepted)
        return text

    return parse


def parse_domain(value: object) -> str:
    text = str(value).strip().lower().rstrip(".")
    if DOMAIN.fullmatch(text) is None:
        raise ValueError("a domain name of at least two labels, such as pages.example.com")
    return text


def parse_address(value: object) -> str:
    text = str(value).strip().strip("[]")
    if text == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("an IP address of this machine, such as 127.0.0.1 or 0.0.0.0") from None


def parse_networks(value: object) -> tuple[IpNetwork, ...]:
    parts = value if isinstance(value, list) else [part for part in str(value).split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(str(part).strip()) for part in parts)
    except ValueError:
        raise ValueError("addresses or networks, such as 127.0.0.1 or 10.0.0.0/8, with commas between") from None


def parse_access_log(value: object) -> str | Path:
    return value if value in ("off", "stderr") else Path(str(value)).expanduser()


def parse_share(value: object) -> float:
    try:
        share = float(str(value))
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError("a share above 0 and up to 1, such as 0.01 for one request in a hundred")
    return share


def parse_drain(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= DRAIN_S_MAX:
        raise ValueError(f"seconds from 0 to {DRAIN_S_MAX:.0f}")
    return seconds


PARSERS: Final[Mapping[str, Callable[[object], object]]] = {
    "data": lambda value: Path(str(value)).expanduser(),
    "host": parse_address,
    "port": parse_int(0, PORT_MAX),
    "api_host": parse_address,
    "api_port": parse_int(0, PORT_MAX),
    "workers": parse_int(1, WORKERS_MAX),
    "pages_domain": parse_domain,
    "dc": parse_text(LABEL, "a short label of letters, digits, dots and dashes"),
    "url_scheme": parse_choice("http", "https"),
    "url_port": parse_int(1, PORT_MAX),
    "trusted_proxies": parse_networks,
    "drain_s": parse_drain,
    "limits": parse_limits,
    "log_format": parse_choice("console", "json"),
    "access_log": parse_access_log,
    "access_log_share": parse_share,
    "workerd": lambda value: Path(str(value)).expanduser(),
    "functions_memory_mib": parse_int(64, 1_048_576),
}
assert PARSERS.keys() == {each.name for each in fields(Config)}


def url_of(host: str, port: int) -> str:
    """How this machine reaches what listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def variable_name(setting: str) -> str:
    return f"ONEHOP_{setting.upper()}"


def default_workers() -> int:
    """One edge worker per processor that this process may use."""
    return max(1, min(len(os.sched_getaffinity(0)), WORKERS_MAX))


def load_config(flags: Mapping[str, object], environ: Mapping[str, str], *, file: Path | None = None) -> Config:
    """Raises ConfigRefused. `flags` holds a member per option given (None counts as not given)."""
    problems: list[str] = []
    path = file if file is not None else Path(environ["ONEHOP_CONFIG"]) if environ.get("ONEHOP_CONFIG") else None
    settings = read_file(path, problems) if path is not None else {}
    values: dict[str, object] = {"workers": default_workers()}
    for name, parse in PARSERS.items():
        option = "--" + name.replace("_", "-")
        if flags.get(name) is not None:
            source, raw = option, flags[name]
        elif environ.get(variable_name(name)):
            source, raw = variable_name(name), environ[variable_name(name)]
        elif name in settings:
            source, raw = f"{name} in {path}", settings[name]
        else:
            continue
        try:
            values[name] = parse(raw)
        except ValueError as error:
            problems.append(f"{source} is {str(raw)!r}, but must be {error}")
    if problems:
        raise ConfigRefused(problems)
    return Config(**values)  # type: ignore[arg-type]  # each value came out of its field's own parser


def read_file(path: Path, problems: list[str]) -> dict[str, object]:
    import tomllib  # 6 ms, and most starts have no file

    try:
        settings = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        problems.append(f"the configuration file {path} can't be read: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"the configuration file {path} isn't TOML: {error}")
        return {}
    unknown = sorted(settings.keys() - PARSERS.keys())
    if unknown:
        problems.append(f"{path} has unknown settings {', '.join(unknown)}; known are {', '.join(sorted(PARSERS))}")
    return settings
