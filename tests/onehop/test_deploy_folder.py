"""Which files of a folder a deploy sends: wrangler's ignores, links, and what is refused before anything is sent."""

import os
from pathlib import Path

import pytest

from asset_server.manifest import ASSET_BYTES_MAX
from onehop.deploy_folder import CONTROL_FILES, DEPTH_MAX, FolderRefused, is_left_out, read_folder


def make(root: Path, *names: str, content: bytes = b"x") -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return root


def paths_of(root: Path) -> list[str]:
    return [each.path for each in read_folder(root).files]


def test_paths_begin_with_a_slash_and_keep_their_case(tmp_path: Path) -> None:
    assert paths_of(make(tmp_path, "index.html", "Sub/Ä b.TXT")) == ["/Sub/Ä b.TXT", "/index.html"]


@pytest.mark.parametrize(
    "name", ["_headers", "_redirects", "_routes.json", "_worker.js", "functions/a.js", ".wrangler/x"]
)
@pytest.mark.pages("10 row 8")
def test_pages_10_row_3_what_steers_is_left_out_at_the_root_only(tmp_path: Path, name: str) -> None:
    make(tmp_path, name, f"sub/{name}")
    assert paths_of(tmp_path) == [f"/sub/{name}"]


@pytest.mark.parametrize("name", [".DS_Store", "node_modules/a/b.js", ".git/HEAD"])
def test_pages_10_row_4_clutter_is_left_out_anywhere(tmp_path: Path, name: str) -> None:
    assert paths_of(make(tmp_path, "a.txt", name, f"sub/deep/{name}")) == ["/a.txt"]


def test_pages_10_row_6_globs_do_not_reach_below_a_dot_folder() -> None:
    assert is_left_out("/sub", "node_modules")
    assert not is_left_out("/.cache", "node_modules")
    assert not is_left_out("/.cache/sub", ".DS_Store")


@pytest.mark.pages("12 row 35")
def test_pages_10_row_5_dotfiles_are_sent(tmp_path: Path) -> None:
    assert paths_of(make(tmp_path, ".well-known/security.txt", ".hidden")) == ["/.hidden", "/.well-known/security.txt"]


def test_control_files_are_found_by_name(tmp_path: Path) -> None:
    make(tmp_path, "_headers", "_redirects", "_worker.js", "_routes.json")
    folder = read_folder(tmp_path)
    assert set(folder.controls) == {"_headers", "_redirects", "_worker.js", "_routes.json"}
    assert folder.warnings == ()


def test_routes_json_without_a_worker_is_warned_about(tmp_path: Path) -> None:
    assert any("_routes.json" in warning for warning in read_folder(make(tmp_path, "_routes.json")).warnings)


def test_functions_folder_is_warned_about_and_wrangler_named(tmp_path: Path) -> None:
    (warning,) = read_folder(make(tmp_path, "functions/hello.js")).warnings
    assert "functions/" in warning
    assert "wrangler" in warning


def test_functions_beside_the_folder_are_warned_about_too(tmp_path: Path) -> None:
    make(tmp_path, "functions/api/hello.ts", "dist/index.html")
    assert read_folder(tmp_path / "dist").warnings == ()
    assert len(read_folder(tmp_path / "dist", project=tmp_path).warnings) == 1


def test_a_folder_that_is_merely_called_functions_is_no_reason_to_warn(tmp_path: Path) -> None:
    assert read_folder(make(tmp_path, "functions/index.html")).warnings == ()


def test_worker_folder_is_refused_since_it_needs_a_bundler(tmp_path: Path) -> None:
    with pytest.raises(FolderRefused, match="bundler"):
        read_folder(make(tmp_path, "_worker.js/index.js"))


@pytest.mark.pages("12 row 35")
def test_pages_10_row_7_link_inside_the_folder_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    make(tmp_path, "real/a.txt")
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "b.txt").symlink_to("real/a.txt")
    assert paths_of(tmp_path) == ["/b.txt", "/linked/a.txt", "/real/a.txt"]


def test_link_out_of_the_folder_is_not_followed_and_named(tmp_path: Path) -> None:
    root = make(tmp_path / "site", "a.txt")
    make(tmp_path, "secret.txt")
    (root / "out.txt").symlink_to("../secret.txt")
    (root / "outside").symlink_to("..")
    folder = read_folder(root)
    assert [each.path for each in folder.files] == ["/a.txt"]
    assert any("/out.txt" in warning and "/outside" in warning for warning in folder.warnings)


def test_link_cycle_ends(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c.txt")
    (tmp_path / "a" / "b" / "up").symlink_to("..")
    (tmp_path / "a" / "self").symlink_to("self")
    folder = read_folder(tmp_path)
    assert [each.path for each in folder.files] == ["/a/b/c.txt"]
    assert len(folder.warnings) == 2


def test_depth_is_limited(tmp_path: Path) -> None:
    make(tmp_path, "/".join(["d"] * (DEPTH_MAX + 3)) + "/a.txt", "b.txt")
    folder = read_folder(tmp_path)
    assert [each.path for each in folder.files] == ["/b.txt"]
    assert folder.warnings


def test_what_is_no_file_is_left_out_and_named(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe")
    folder = read_folder(tmp_path)
    assert [each.path for each in folder.files] == ["/a.txt"]
    assert "/pipe" in folder.warnings[0]


def test_a_servers_data_folder_is_left_out_and_named(tmp_path: Path) -> None:
    make(tmp_path, "index.html", "onehop-data/secrets/admin-token", "onehop-data/kv/data.mdb")
    folder = read_folder(tmp_path)
    assert [each.path for each in folder.files] == ["/index.html"]
    assert "/onehop-data" in folder.warnings[0]


def test_files_over_the_limit_are_all_named_at_once(tmp_path: Path) -> None:
    for name in ("one.bin", "two.bin"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(ASSET_BYTES_MAX + 1)
    with (tmp_path / "fits.bin").open("wb") as file:
        file.truncate(ASSET_BYTES_MAX)
    with pytest.raises(FolderRefused) as refused:
        read_folder(tmp_path)
    assert "/one.bin" in str(refused.value)
    assert "/two.bin" in str(refused.value)
    assert "fits" not in str(refused.value)


def test_pages_10_row_1_too_many_files_are_refused_and_the_fullest_folder_named(tmp_path: Path) -> None:
    make(tmp_path, *(f"cache/{number}" for number in range(9)), "index.html")
    with pytest.raises(FolderRefused, match=r"10 files.*at most 9.*/cache \(9\)"):
        read_folder(tmp_path, files_count_max=9)


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.html")).write_bytes(b"x")
    with pytest.raises(FolderRefused, match="isn't Unicode text"):
        read_folder(tmp_path)


def test_a_file_or_nothing_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    with pytest.raises(FolderRefused, match="not a folder"):
        read_folder(tmp_path / "a.txt")
    with pytest.raises(FolderRefused, match="not there"):
        read_folder(tmp_path / "nothing")


def test_empty_folder_has_no_files(tmp_path: Path) -> None:
    assert read_folder(tmp_path).files == ()


def test_a_link_out_of_the_folder_is_followed_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "shared.js").write_text("shared")
    folder = make(tmp_path / "site", "index.html")
    (folder / "shared.js").symlink_to(tmp_path / "shared.js")
    kept_in = read_folder(folder)
    assert [each.path for each in kept_in.files] == ["/index.html"]
    assert "--follow-links" in kept_in.warnings[0]
    followed = read_folder(folder, follow_links=True)
    assert [each.path for each in followed.files] == ["/index.html", "/shared.js"]
    assert followed.warnings == ()


def test_one_name_in_two_unicode_forms_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    make(tmp_path, "é.txt", "e\u0301.txt")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system takes both forms for one name")
    with pytest.raises(FolderRefused, match=r"two Unicode forms: '/e\\u0301\.txt' and '/\\xe9\.txt'"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", CONTROL_FILES)
def test_a_control_file_that_links_out_of_the_folder_is_left_out_and_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "credentials.yml").write_text("password: hunter2")
    folder = make(tmp_path / "site", "index.html", "rules")
    (folder / name).symlink_to(tmp_path / "credentials.yml")
    kept_in = read_folder(folder)
    assert kept_in.controls == {}
    assert any(f"/{name}" in warning and "--follow-links" in warning for warning in kept_in.warnings)
    assert set(read_folder(folder, follow_links=True).controls) == {name}
    (folder / name).unlink()
    (folder / name).symlink_to("rules")
    assert set(read_folder(folder).controls) == {name}
