"""Give MkDocs the files of the site by their paths in the repository.

The pages link to each other and to files elsewhere in the repository, as a code host shows them. So
a file of the site keeps its path, `docs/model.md` or `examples/serve.py`, and every relative link
works in both. The README is the first page; there is no copy of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

#: Inline links and pictures of Markdown, up to an anchor.
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)

FIRST = ("README.md", "docs/hooks/site.css")

#: Whoever searches for a word wants a page that explains it before these, which name every word.
LATE = ("CHANGELOG.md", "docs/api/", "docs/results.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of docs/ by all files that the site needs, with their repository paths."""
    from mkdocs.structure.files import File

    root = Path(config.config_file_path).parent
    docs = Path(config.docs_dir)
    pages = [path.relative_to(root).as_posix() for path in sorted(docs.rglob("*.md"))]
    for known in list(files):
        if known.src_dir == config.docs_dir:
            files.remove(known)
    for name in sorted(linked(root, [*FIRST, *pages])):
        files.append(File(name, str(root), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> None:
    """Let the search show some pages after the others."""
    if page.file.src_uri.startswith(LATE):
        page.meta["search"] = {"boost": 0.2}


def linked(root: Path, names: list[str]) -> set[str]:
    """Return the paths of these files and of all files of the repository that they link to."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += links(root, name) if name.endswith(".md") else ()
    return found


def links(root: Path, name: str) -> Iterator[str]:
    """Yield the paths of files that a page links to."""
    text = CODE.sub("", (root / name).read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        path = (root / name).parent.joinpath(target).resolve()
        if path.is_file() and path.is_relative_to(root):
            yield path.relative_to(root).as_posix()
