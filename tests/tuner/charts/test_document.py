"""The frame of a report: it stands alone, follows the reader's colours, and shows text as text."""

from __future__ import annotations

from html.parser import HTMLParser

from tuner.charts.document import big_numbers, document, origin_line, provenance, table
from tuner.charts.palette import AREA_PALETTE, INK, PROPERTIES, colour_of

HOSTILE = "</style><script>alert(1)</script>\x1b"


class Tags(HTMLParser):
    """Collects the tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


def test_a_document_loads_nothing_and_shows_hostile_text():
    body = [
        origin_line(HOSTILE),
        big_numbers([(HOSTILE, HOSTILE), ("2", "two")]),
        table([HOSTILE], [[HOSTILE], ["b"]], marked=[1]),
        *provenance({"command": HOSTILE, "options": {"network": [HOSTILE]}}),
    ]
    html = document(HOSTILE, body)
    tags = Tags(html).tags
    assert not {"script", "link", "img", "iframe"} & set(tags)
    assert tags.count("style") == 1
    assert tags.count("main") == 1, "readers aloud can go there"
    assert "\x1b" not in html
    assert "http" not in html
    assert "url(" not in html
    assert html.count('class="focus"') == 1
    assert html.count('class="main"') == 1
    assert not big_numbers([])


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours as WCAG 2.2 defines it."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_on_each_background():
    for scheme in (0, 1):
        colours = {name: values[scheme] for name, values in PROPERTIES.items()}
        for text in ("ink", "faint", "mark"):
            assert contrast(colours[text], colours["paper"]) >= 4.5
        for background in ("box", "good", "near", "broken", "note"):
            assert contrast(colours["ink"], colours[background]) >= 4.5
        assert contrast(colours["line"], colours["paper"]) >= 4.5
    assert all(contrast(INK, each) >= 4.5 for each in AREA_PALETTE)
    assert colour_of(len(AREA_PALETTE)) == AREA_PALETTE[0]
