"""pages-api 3.6: what wrangler uploads as `_worker.bundle`."""

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.bundle_format import ModuleKind, content_id, parse_bundle
from functions.bundle_parts import BundleRefused

ES_MODULE = "application/javascript+module"
PartTuple = tuple[str, str | None, bytes]


def multipart(parts: Sequence[PartTuple], *, boundary: str = "----formdata-undici-012345678901") -> bytes:
    body = b""
    for name, content_type, content in parts:
        filename = f'; filename="{name}"' if content_type else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n'.encode()
        body += f"Content-Type: {content_type}\r\n".encode() if content_type else b""
        body += b"\r\n" + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def bundle(
    modules: Sequence[PartTuple] = (("index.js", ES_MODULE, b"export default {}"),),
    metadata: Mapping[str, object] | None = None,
) -> bytes:
    encoded = json.dumps({"main_module": modules[0][0]} if metadata is None else metadata).encode()
    return multipart([("metadata", None, encoded), *modules])


def refusal(body: bytes) -> str:
    with pytest.raises(BundleRefused) as error:
        parse_bundle(body)
    return str(error.value)


def test_the_boundary_is_the_first_lines_and_modules_keep_name_and_kind() -> None:
    parsed = parse_bundle(
        bundle(
            [
                ("functionsWorker-0.11762245307429864.js", ES_MODULE, b"import './chunks/a.js'"),
                ("chunks/a.js", "application/javascript", b"module.exports = 1\r\n"),
                ("b.wasm", "application/wasm", b"\0asm\r\n--\r\n\xff"),
                ("c.txt", "text/plain; charset=utf-8", b""),
                ("d.bin", "application/octet-stream", b"\r\n"),
                ("e.js.map", "application/source-map", b"{}"),
            ]
        )
    )
    assert parsed.main.name == "functionsWorker-0.11762245307429864.js"
    assert [(module.name, module.kind) for module in parsed.modules[1:]] == [
        ("chunks/a.js", ModuleKind.COMMON_JS),
        ("b.wasm", ModuleKind.WASM),
        ("c.txt", ModuleKind.TEXT),
        ("d.bin", ModuleKind.DATA),
        ("e.js.map", ModuleKind.SOURCE_MAP),
    ]
    assert [module.content for module in parsed.modules[2:5]] == [b"\0asm\r\n--\r\n\xff", b"", b"\r\n"]


def test_metadata_without_a_config_leaves_bindings_and_date_open() -> None:
    parsed = parse_bundle(bundle())
    assert (parsed.bindings, parsed.compatibility_date, parsed.compatibility_flags) == (None, None, None)


def test_metadata_of_a_config_lists_bindings_date_and_flags() -> None:
    parsed = parse_bundle(
        bundle(
            metadata={
                "main_module": "index.js",
                "bindings": [{"name": "A", "type": "plain_text", "text": "x"}, {"type": "kv_namespace", "name": "K"}],
                "compatibility_date": "2026-01-01",
                "compatibility_flags": ["nodejs_compat"],
                "placement": {"mode": "smart"},
            }
        )
    )
    assert parsed.bindings is not None
    assert [(each.name, each.type, dict(each.fields)) for each in parsed.bindings] == [
        ("A", "plain_text", {"text": "x"}),
        ("K", "kv_namespace", {}),
    ]
    assert parsed.binding_types == {"plain_text", "kv_namespace"}
    assert (parsed.compatibility_date, parsed.compatibility_flags) == ("2026-01-01", ("nodejs_compat",))


@pytest.mark.parametrize(
    "name",
    [
        "../x.js",
        "a/../../x.js",
        "/etc/x.js",
        "C:/x.js",
        "a\\..\\x.js",
        "a//b.js",
        "././x.js",
        "a/./x.js",
        "a/",
        "x" * 513,
        "a\x01b",
    ],
)
def test_a_module_name_that_could_climb_out_of_a_folder_is_refused(name: str) -> None:
    assert refusal(bundle([("index.js", ES_MODULE, b""), (name, ES_MODULE, b"")]))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "main_module"),
        ({"main_module": 1}, "main_module"),
        ({"main_module": "other.js"}, "isn't among"),
        ({"main_module": "index.js", "bindings": {}}, "list"),
        ({"main_module": "index.js", "bindings": [{"name": "A"}]}, "no type"),
        ({"main_module": "index.js", "bindings": [{"name": "A", "type": "ai"}] * 2}, "two bindings"),
        ({"main_module": "index.js", "compatibility_date": "today"}, "compatibility_date"),
        ({"main_module": "index.js", "compatibility_flags": [1]}, "compatibility_flags"),
    ],
)
def test_metadata_that_says_nonsense_is_refused(metadata: Mapping[str, object], reason: str) -> None:
    assert reason in refusal(bundle(metadata=metadata))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "boundary"),
        (b"export default {}", "boundary"),
        (b"--\r\n", "boundary"),
        (b"--x\r\n", "last boundary"),
        (bundle()[:-6], "last boundary"),
        (bundle() + b"more", "after its last"),
        (multipart([("index.js", ES_MODULE, b"")]), "no metadata"),
        (multipart([("metadata", None, b"{}")] * 2), "two metadata"),
        (multipart([("metadata", None, b"{")]), "JSON"),
        (bundle([("index.js", ES_MODULE, b"")] * 2), "two modules"),
        (bundle([("index.js", "text/html", b"")]), "unknown type"),
        (bundle([("index.js", None, b"")]), "unknown type"),
        (b"--x\r\n\r\n\r\n--x--\r\n", "header"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--", "no name"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\n--x--',
            "header",
        ),
        (b"--x\r\nX" + b"y" * 20_000 + b"\r\n\r\n\r\n--x--", "headers within"),
        (multipart([("a", ES_MODULE, b"")] * 1 + [(f"m{n}", ES_MODULE, b"") for n in range(2_001)]), "over 2000 parts"),
    ],
)
def test_what_no_tool_would_write_is_refused(body: bytes, reason: str) -> None:
    assert reason in refusal(body)


def test_the_boundary_inside_a_line_or_as_the_start_of_a_longer_one_is_content() -> None:
    content = b"a ------formdata-undici-012345678901 b\r\n------formdata-undici-0123456789012\r\nc"
    assert parse_bundle(bundle([("index.js", ES_MODULE, content)])).main.content == content


def test_a_bundle_over_25_mib_is_refused() -> None:
    assert "limit" in refusal(bundle([("index.js", ES_MODULE, b" " * 26_214_400)]))


@settings(max_examples=100)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_modules_come_out_byte_for_byte(first: bytes, second: bytes) -> None:
    parsed = parse_bundle(bundle([("index.js", ES_MODULE, first), ("b.bin", "application/octet-stream", second)]))
    assert [module.content for module in parsed.modules] == [first, second]


@settings(max_examples=100)
@given(st.data())
def test_a_damaged_bundle_is_refused_or_read_and_nothing_else_happens(data: st.DataObject) -> None:
    body = bytearray(bundle())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_bundle(bytes(body))
    except BundleRefused as error:
        assert str(error)


def built(number: str, folder: str, code: bytes = b"x") -> bytes:
    name = f"functionsWorker-0.{number}.js"
    drafts = f"../.wrangler/tmp/pages-{folder}/functionsRoutes-0.{number}9.mjs"
    return bundle([(name, ES_MODULE, f"// {drafts}\n//# sourceMappingURL={name}.map\n".encode() + code)])


def test_the_id_is_the_same_whatever_wrangler_drew() -> None:
    first, second = (
        content_id(parse_bundle(each), b"{}") for each in (built("123", "abcDEF"), built("4567", "GHIjk1"))
    )
    assert first == second
    assert len(first) == 22


def test_the_id_changes_with_code_kind_names_and_settings() -> None:
    same = built("123", "abcDEF")
    ids = [content_id(parse_bundle(each), b"{}") for each in (same, built("123", "abcDEF", b"y"), bundle())]
    ids.append(content_id(parse_bundle(same), b'{"a":1}'))
    ids.append(content_id(parse_bundle(bundle([("index.js", "application/javascript", b"export default {}")])), b"{}"))
    assert len(set(ids)) == len(ids)
