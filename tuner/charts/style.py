"""The style sheet of the charts, and that of a report; light and dark, as the reader's system is.

Colours are custom properties (`tuner.charts.palette.PROPERTIES`), so that a page may set others.
"""

from __future__ import annotations

from tuner.charts.frame import BOTTOM, LEFT, RIGHT, TOP
from tuner.charts.palette import AREA_PALETTE, INK, PALETTE, PALETTE_DARK, PROPERTIES

_LINE_COLOURS = {
    f"line-{at}": each for at, each in enumerate(zip(PALETTE, PALETTE_DARK, strict=True))
}
_LIGHT, _DARK = (
    "".join(f"--{name}:{values[scheme]};" for name, values in (PROPERTIES | _LINE_COLOURS).items())
    for scheme in (0, 1)
)

_AREAS = "".join(f".area-{at}{{fill:{colour}}}\n" for at, colour in enumerate(AREA_PALETTE))

_LINES = "".join(f".line-{at}{{--own:var(--line-{at})}}\n" for at in range(len(PALETTE)))

#: Custom properties, and everything that the functions of this room return.
CHART_STYLE = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
@media print{{:root{{{_LIGHT}}}}}
.chart{{margin:14px 0 18px;container-type:inline-size;min-width:0}}
.chart figcaption{{font-size:14px;line-height:1.35;margin:0 0 4px;overflow-wrap:anywhere}}
.chart figcaption b{{font-variant-numeric:tabular-nums}}
.chart .plot{{padding:{TOP}px {RIGHT}px {BOTTOM}px {LEFT}px}}
.chart .plot.low{{padding-top:8px}}
.chart .plot.stack{{padding:0 {RIGHT}px 0 1px}}
.chart .row{{font-size:13px;line-height:1.3;margin:8px 0 4px;overflow-wrap:anywhere}}
.chart .drawing{{display:block;overflow:visible}}
.chart text{{fill:var(--ink);font:13px system-ui,"DejaVu Sans",sans-serif;
 font-variant-numeric:tabular-nums}}
.chart .tick,.chart .name{{fill:var(--faint)}}
.chart .rule{{stroke:var(--grid)}}
.chart .base{{stroke:var(--faint)}}
.chart path,.chart line{{vector-effect:non-scaling-stroke}}
.chart .line{{stroke:var(--line);stroke-width:2;fill:none;stroke-linejoin:round;
 stroke-linecap:round}}
.chart .lone{{stroke:var(--line);stroke-width:5;stroke-linecap:round;fill:none}}
.chart .limit{{stroke:var(--mark);stroke-width:1.5;stroke-dasharray:6 4;fill:none}}
.chart .beyond{{fill:var(--mark);fill-opacity:.1}}
.chart .order{{stroke:var(--faint);fill:none;stroke-opacity:.6}}
.chart .kept,.legend .kept{{fill:var(--line)}}
.chart .over,.legend .over{{fill:var(--paper);stroke:var(--mark);stroke-width:2}}
.chart .cross,.legend .cross{{stroke:var(--mark);stroke-width:2;fill:none}}
.chart .present,.legend .present{{fill:none;stroke:var(--ink);stroke-width:3}}
.chart .chosen,.legend .chosen{{fill:var(--star);stroke:var(--ink);stroke-width:1.5}}
.chart .number,.legend .number{{fill:var(--paper);font:700 11px system-ui,"DejaVu Sans",sans-serif;
 text-anchor:middle}}
.chart .number.dark,.legend .number.dark{{fill:var(--ink)}}
.chart .inside{{fill:{INK};font-size:12px;text-anchor:middle}}
.chart .reach{{stroke:var(--line);stroke-width:4}}
.chart .end{{stroke:var(--line);stroke-width:2}}
.chart .series{{stroke:var(--own);stroke-width:1.8;fill:none;stroke-linejoin:round}}
.chart .series.main{{stroke-width:3.4}}
.chart .band{{fill:var(--own);fill-opacity:.13}}
.chart .level{{stroke:var(--faint);stroke-dasharray:4 4}}
.chart .ring,.legend .ring{{fill:none;stroke:var(--ink);stroke-width:2}}
.chart .area,.chart .badge,.legend .badge{{fill:var(--own)}}
.chart .single{{fill:var(--own);fill-opacity:.5}}
.chart .span{{stroke:var(--ink);stroke-width:3;stroke-opacity:.75}}
.chart .middle{{stroke:var(--ink);stroke-width:3}}
.chart .fainter{{fill-opacity:.4}}
.main{{--own:var(--mark)}}
{_LINES}.chart .dot:focus-visible{{outline:3px solid var(--ink);outline-offset:2px}}
{_AREAS}.legend{{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:14px;margin:6px 0 10px}}
.legend>span{{min-width:0;overflow-wrap:anywhere}}
.legend .key{{margin-right:8px;vertical-align:-4px;display:inline-block;overflow:visible}}
.scroll{{overflow-x:auto}}
.places{{border-collapse:collapse;font-size:14px}}
.places caption{{text-align:left;font-weight:600}}
.places th,.places td{{padding:5px 9px;border-bottom:1px solid var(--grid);text-align:right;
 font-variant-numeric:tabular-nums}}
.places th:first-child{{text-align:left;min-width:7em;max-width:16em;overflow-wrap:anywhere}}
.places td.good{{background:var(--good)}}
.places td.near{{background:var(--near);font-weight:600}}
.places td.broken{{background:var(--broken);font-weight:700}}
.quiet{{color:var(--faint)}}
@container (max-width:480px){{.chart .wide{{display:none}}}}
"""
