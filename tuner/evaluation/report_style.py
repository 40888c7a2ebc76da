"""The style sheet of the report."""

from tuner.charts.palette import EMPHASIS, FAINT, GRID, INK

STYLE = f"""
body{{font:16px/1.5 system-ui,"DejaVu Sans",sans-serif;color:{INK};background:#fff;
 max-width:1020px;margin:0 auto;padding:0 20px 60px}}
.origin{{background:#fff3d6;border-left:5px solid #d9a400;padding:8px 14px;margin:22px 0 6px;
 font-size:15px}}
.origin b{{text-transform:uppercase;letter-spacing:.04em;font-size:13px}}
h1{{font-size:29px;line-height:1.25;margin:18px 0 8px}}
h2{{font-size:19px;margin:38px 0 4px}}
p{{margin:4px 0 10px;max-width:860px}}
.quiet{{color:{FAINT};font-size:14px}}
.figures{{display:flex;gap:14px;flex-wrap:wrap;margin:18px 0}}
.figures div{{border-top:3px solid {GRID};padding:8px 0;flex:1 1 170px}}
.figures .main{{border-color:{EMPHASIS}}}
.figures b{{display:block;font-size:30px;line-height:1.1}}
.figures .main b{{color:{EMPHASIS}}}
.figures span{{color:{FAINT};font-size:14px}}
.verdict{{font-size:18px;border-left:5px solid {EMPHASIS};padding-left:14px}}
table{{border-collapse:collapse;font-size:12.5px;width:100%}}
th{{text-align:right;font-weight:600;vertical-align:bottom;border-bottom:2px solid {INK};
 padding:4px 5px}}
td{{text-align:right;padding:4px 5px;border-bottom:1px solid {GRID};
 font-variant-numeric:tabular-nums}}
th:first-child,td:first-child{{text-align:left;white-space:nowrap}}
tr.focus td{{color:{EMPHASIS};font-weight:700}}
.scroll{{overflow-x:auto}}
svg{{display:block;height:auto;max-width:100%}}
summary{{cursor:pointer;color:{FAINT};margin:10px 0}}
pre{{white-space:pre-wrap;overflow-wrap:anywhere;background:#f5f7fa;padding:10px;font-size:13px}}
"""
