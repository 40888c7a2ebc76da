"""The site: every page is in its navigation, it builds without a warning and loads nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import tuner
from tests.pages import PAGES, ROOT

pytest.importorskip("mkdocs")

import yaml


def navigation(entries: Any) -> Iterator[str]:
    """Yield the paths in the navigation of mkdocs.yml."""
    for entry in entries:
        for value in entry.values():
            yield from (value,) if isinstance(value, str) else navigation(value)


def test_every_page_is_in_the_navigation_once() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    shown = sorted(navigation(settings["nav"]))
    linked = ROOT / "envs" / "traces" / "data" / "README.md"
    assert shown == sorted(path.relative_to(ROOT).as_posix() for path in (*PAGES, linked))


class Loaded(HTMLParser):
    """Collects what a browser loads with a page, and what the page links to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster") or (name == "href" and tag == "link"):
                self.loads.append(value or "")
            elif name == "href":
                self.links.append(value or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert built.returncode == 0, built.stderr
    assert not built.stderr.strip()
    return folder


def test_it_loads_nothing_from_elsewhere_and_its_links_work_in_a_folder(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        found = Loaded(page)
        assert found.loads, page
        for target in found.loads:
            assert not re.match(r"(?!data:)([a-z]+:|//)", target, re.IGNORECASE), (page, target)
        for target in [*found.loads, *found.links]:
            name = target.partition("#")[0].partition("?")[0]
            if page.name != "404.html" and name and not re.match(r"[a-z]+:", name):
                assert (page.parent / name).exists(), (page, target)
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\([\"']?(https?:)?//", text), style
    for drawing in site.rglob("*.svg"):
        assert not re.search(r"url\([\"']?http", drawing.read_text(encoding="utf-8")), drawing


def test_pages_from_docstrings_have_the_public_api(site: Path) -> None:
    text = (site / "docs" / "api" / "tuner.html").read_text(encoding="utf-8")
    for name in tuner.__all__:
        assert re.search(rf'id="tuner\.{name}"', text), name
    environment = (site / "docs" / "api" / "environment.html").read_text(encoding="utf-8")
    assert 'class="gp">&gt;&gt;&gt; ' in environment, "doctests are blocks of code"


def test_files_elsewhere_in_the_repository_keep_their_paths(site: Path) -> None:
    for name in ("examples/grafana.json", "examples/serve.py", "docker/Dockerfile"):
        assert (site / name).read_bytes() == (ROOT / name).read_bytes()
    assert (site / "index.html").exists(), "the README"
    assert not (site / "docs" / "hooks" / "repository_files.py").exists()


def test_lists_and_blocks_are_none_in_the_middle_of_a_paragraph(site: Path) -> None:
    for page in site.rglob("*.html"):
        for text in re.findall(r"<p>(.*?)</p>", page.read_text(encoding="utf-8"), re.DOTALL):
            assert not re.search(r"```|^ *([-*]|\d+\.) ", text, re.MULTILINE), (page, text)
