"""Charts as SVG and HTML strings, made by pure functions that need NumPy alone.

Live pages and reports share them. Each function returns one element that is valid XML, holds no
`style` attribute and no script (a strict Content-Security-Policy may forbid both), and has a
bounded size whatever it is given. `tuner.charts.style` holds the style sheet that all of them need.
All text goes through `tuner.charts.text.escape`.
"""
