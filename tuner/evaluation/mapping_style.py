"""The rules of a report on mappings beside those of every report: strips, lanes and its plot."""

from tuner.charts.palette import INK

#: Text on the colours of accelerators, which are pale in both schemes.
ON_COLOUR = INK

MAPPING_STYLE = f"""
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
.groups td.where{{padding:0 4px;border-left:1px solid var(--paper);color:{ON_COLOUR};
 font-size:11px;text-align:center}}
.groups th{{white-space:nowrap}}
tr.chosen td{{color:var(--mark);font-weight:700}}
@media (max-width:640px){{.strip .bar i,.lane i{{font-size:0}}}}
.chart .dot-front,.legend .dot-front{{fill:var(--line)}}
.chart .dot-front.best,.legend .dot-front.best{{fill:var(--mark)}}
.chart .dot .ring,.legend .ring{{fill:none;stroke:var(--mark);stroke-width:2}}
.chart .other{{fill:var(--faint)}}
.chart .alone,.legend .alone{{fill:none;stroke:var(--ink);stroke-width:2}}
"""
