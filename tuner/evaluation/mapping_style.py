"""The style of a report on mappings: that of the other reports, a dark one, and strips."""

from tuner.charts.palette import AREA_PALETTE, EMPHASIS, FAINT, GRID, INK
from tuner.evaluation.report_style import STYLE

#: Text on the colours of accelerators, which are pale in both styles.
ON_COLOUR = INK

MAPPING_STYLE = f"""{STYLE}
:root{{--ink:{INK};--faint:{FAINT};--grid:{GRID};--paper:#fff;--mark:{EMPHASIS};--box:#f5f7fa}}
h1,.mapping{{overflow-wrap:anywhere}}
.strip{{margin:10px 0 14px}}
.strip .name{{font-size:14px;display:flex;flex-wrap:wrap;gap:2px 14px;align-items:baseline}}
.strip .name b{{overflow-wrap:anywhere}}
.strip .name span{{color:var(--faint);white-space:nowrap;font-variant-numeric:tabular-nums}}
.strip .bar{{display:flex;height:26px;margin-top:3px;border-radius:3px;overflow:hidden}}
.strip .bar i{{box-sizing:border-box;overflow:hidden;min-width:0;
 border-right:1px solid var(--paper);color:{ON_COLOUR};
 font:11px/26px system-ui,"DejaVu Sans",sans-serif;text-align:center}}
.strip .bar.cut{{border-top-right-radius:0;border-bottom-right-radius:0;
 mask-image:linear-gradient(90deg,#000 88%,transparent)}}
.strip.chosen .name b{{color:var(--mark)}}
.between{{background-image:repeating-linear-gradient(135deg,#0008 0 2px,transparent 2px 5px)}}
.legend{{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:14px;margin:6px 0 10px}}
.legend i{{display:inline-block;width:14px;height:14px;border-radius:3px;margin-right:6px;
 vertical-align:-2px}}
.lanes{{margin:14px 0}}
.lane{{display:flex;align-items:center;gap:10px;margin:5px 0;font-size:14px}}
.lane span{{flex:0 0 64px;overflow-wrap:anywhere}}
.lane div{{position:relative;flex:1;height:30px;background:var(--box);border-radius:3px}}
.lane i{{position:absolute;top:2px;bottom:2px;box-sizing:border-box;overflow:hidden;
 border-right:1px solid var(--paper);border-radius:2px;color:{ON_COLOUR};padding-left:3px;
 white-space:nowrap;font:11px/26px system-ui,"DejaVu Sans",sans-serif}}
.groups td{{position:relative}}
.groups td.on{{color:{ON_COLOUR};font-weight:700}}
.groups td.where{{padding:0;min-width:16px;border-left:1px solid var(--paper)}}
.groups th{{white-space:nowrap}}
tr.chosen td{{color:var(--mark);font-weight:700}}
.plot svg{{min-width:560px;max-width:820px}}
.plot text{{fill:var(--ink);font:13px system-ui,"DejaVu Sans",sans-serif}}
.plot .tick{{fill:var(--faint)}}
.plot .grid{{stroke:var(--grid)}}
.plot .line{{stroke:var(--faint);fill:none}}
.plot .limit{{stroke:var(--mark);stroke-dasharray:5 4}}
.plot .beyond{{fill:var(--mark);fill-opacity:.1}}
.plot .dot{{fill:var(--ink)}}
.plot .other{{fill:var(--faint)}}
.plot .dot.chosen{{fill:var(--mark)}}
.plot .number{{fill:var(--paper);font-weight:700;font-size:11px;text-anchor:middle}}
.plot .alone{{fill:none;stroke:var(--ink);stroke-width:2}}
@media (max-width:640px){{.strip .bar i,.lane i{{font-size:0}}}}
@media (prefers-color-scheme:dark){{
:root{{--ink:#e4e7eb;--faint:#9aa5b1;--grid:#323f4b;--paper:#14191f;--mark:#ff8a98;--box:#1f2933}}
body{{color:var(--ink);background:var(--paper)}}
.origin{{background:#3a2f12}}
pre{{background:var(--box)}}
.quiet,.figures span,summary{{color:var(--faint)}}
.figures div,td{{border-color:var(--grid)}}
.figures .main,.verdict{{border-color:var(--mark)}}
.figures .main b{{color:var(--mark)}}
th{{border-color:var(--ink)}}
}}
"""


def colour_of(accelerator: int) -> str:
    """Return the colour of an accelerator, by its position."""
    return AREA_PALETTE[accelerator % len(AREA_PALETTE)]
