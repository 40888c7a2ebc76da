"""The page as one HTML document, with its parts in place: it shows without a script, too."""

from __future__ import annotations

from collections.abc import Mapping

from tuner.charts.text import escape

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="/icon.svg">
<link rel="stylesheet" href="/page.css">
{script}</head>
<body>
"""

_FORM = """<form id="limit-form" method="post" action="/limits" autocomplete="off">
<p><label for="limit">Limit</label>
<select id="limit" name="limit" required>{choices}</select></p>
<p><label for="value">New value</label>
<input id="value" name="value" inputmode="decimal" required maxlength="40"></p>
<p><label for="token">Token, printed at the start of the command</label>
<input id="token" name="token" type="password" required maxlength="200"
 autocomplete="off" spellcheck="false"></p>
<p><button type="submit">Change the limit</button></p>
<p id="reply" role="alert"></p>
</form>
"""


def page_of(parts: Mapping[str, str], changes_limits: bool) -> str:
    """Return the page.

    Args:
        parts: HTML, by the names of `tuner.page.parts.PARTS`.
        changes_limits: True to have the form.
    """

    def part(name: str, tag: str = "div", more: str = "") -> str:
        return f'<{tag} id="{name}"{more}>{parts.get(name, "")}</{tag}>'

    form = _FORM.format(choices=parts.get("choices", "")) if changes_limits else ""
    goto = '<a class="skip" href="#limit-form">Go to the form for limits</a>' if form else ""
    return (
        _HEAD.format(title="orin-tuner", script='<script src="/page.js" defer></script>\n')
        + f"""{goto}<header>
<h1>orin-tuner</h1>
<button id="hold" type="button" aria-pressed="false" hidden>Hold</button>
{part("state")}
{part("announce", "p", ' class="unseen" role="status"')}
<p id="lost" role="alert" hidden></p>
<noscript><p class="quiet">Without a script the page shows the moment at which it was loaded.
<a href="/">Load it again</a></p></noscript>
</header>
<main>
{part("why", "section")}
{part("grid", "section")}
{part("curves", "section")}
{part("planes", "section")}
{part("measured", "section")}
<section class="limits"><h2>Limits</h2>
{part("limits")}
{form}{part("answer", "p", ' role="status"')}
</section>
{part("facts", "section")}
{part("events", "section")}
</main>
</body>
</html>
"""
    )


def said(sentence: str, back: str = "Back to the page") -> str:
    """Return a page with one sentence, for those without a script."""
    return (
        _HEAD.format(title="orin-tuner", script="")
        + f'<main><p>{escape(sentence)}</p><p><a href="/">{back}</a></p></main></body></html>\n'
    )


def entrance(sentence: str = "") -> str:
    """Return the page that asks for the token."""
    return (
        _HEAD.format(title="orin-tuner", script="")
        + f"""<main><h1>orin-tuner</h1>
<form method="post" action="/enter" autocomplete="off">
<p role="alert">{escape(sentence)}</p>
<p><label for="token">Token, from the file that --page-token-file names</label>
<input id="token" name="token" type="password" required maxlength="200" spellcheck="false"></p>
<p><button type="submit">Show the page</button></p>
</form></main></body></html>
"""
    )
