"""What workerd is told at its start: our dispatcher, the way back to our edge, and which addresses functions may reach.

Cap'n Proto's text form, written anew at each start. Nothing in it is secret: bundles and their environments are
asked for over the socket when they are needed.
"""

from importlib.resources import files
from typing import Final

CONTROL_FIELD: Final = "onehop-control"
"""Both ways, the header that carries the cf blob: which pipeline is meant, and for what."""
SCHEME_FIELD: Final = "onehop-scheme"
SOCKET_NAME: Final = "main"
HEAP_MIB_MAX: Final = 128
"""Of one isolate's JavaScript heap, as Pages has it; past it V8 ends the process."""

UNREACHABLE: Final = (
    "0.0.0.0/8",
    "::/96",  # unspecified, loopback, IPv4-compatible
    "::ffff:0:0/96",
    "64:ff9b::/32",  # NAT64, with its local-use prefix: a translator would take these back to any IPv4 address
    "2002::/16",  # 6to4, likewise
    "2001::/23",
    "100::/64",
    "fec0::/10",
    "192.0.0.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "224.0.0.0/3",  # multicast and reserved
    "ff00::/8",
)
"""Beyond what kj's "public" leaves out already: loopback, link-local, private and carrier networks."""

CONFIG: Final = """\
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "dispatcher", worker = (
      modules = [(name = "dispatcher.js", esModule = {dispatcher})],
      compatibilityDate = "2025-12-01",
      compatibilityFlags = ["experimental"],
      bindings = [
        (name = "LOADER", workerLoader = (id = "onehop")),
        (name = "EDGE", service = "edge"),
        (name = "INTERNET", service = "internet"),
      ],
      globalOutbound = "internet",
    )),
    (name = "edge", external = (address = {edge_address}, http = (cfBlobHeader = "{control}"))),
    (name = "internet", network = (
      allow = ["public"], deny = [{unreachable}], tlsOptions = (trustBrowserCas = true),
    )),
  ],
  sockets = [(
    name = "{socket_name}", service = "dispatcher",
    http = (cfBlobHeader = "{control}", forwardedProtoHeader = "{scheme}"),
  )],
  v8Flags = ["--max-old-space-size={heap_mib}"],
);
"""


def render_config(edge_socket: str) -> str:
    """`edge_socket` is the path at which our edge answers the dispatcher."""
    return CONFIG.format(
        dispatcher=quoted((files("functions") / "dispatcher.js").read_text("utf-8")),
        edge_address=quoted(f"unix:{edge_socket}"),
        unreachable=", ".join(quoted(block) for block in UNREACHABLE),
        control=CONTROL_FIELD,
        scheme=SCHEME_FIELD,
        socket_name=SOCKET_NAME,
        heap_mib=HEAP_MIB_MAX,
    )


def quoted(text: str) -> str:
    """A Cap'n Proto text literal, which knows C's escapes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
