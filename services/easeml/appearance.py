"""How relations and reports look in notebooks and pages: a card in the reader's light or dark scheme."""

from __future__ import annotations

import html

_PAGE = "body{font:14px/1.5 system-ui,sans-serif;margin:2em}h1{font-size:1.3em}pre{white-space:pre-wrap}"
_LIGHT = "--f:#1b1f24;--d:#5f6872;--b:#fff;--l:#d8dee4;--h:#f6f8fa"
_DARK = "--f:#e6e9ee;--d:#9aa5b1;--b:#16191e;--l:#343b44;--h:#1e232a"


def card(name: str, light: str, dark: str, rules: str) -> str:
    """Return the style sheet of one kind of card.

    Every card has the colours ``--f`` (text), ``--d`` (dimmed text), ``--b`` (background), ``--l`` (lines) and ``--h``
    (table heads). The scheme is the system's, unless the notebook around the card says which one it has.

    Parameters
    ----------
    name : str
        CSS class of the card.
    light, dark : str
        Further colours of the card in either scheme, as ``--name:value`` with ``;`` between them.
    rules : str
        Rules of the card's own; ``.card`` stands for its class.

    Examples
    --------
    >>> ".easeml-x b{color:var(--c)}" in card("easeml-x", "--c:#00f", "--c:#8af", ".card b{color:var(--c)}")
    True
    """
    light, dark = f"{_LIGHT};{light}", f"{_DARK};{dark}"
    common = f"""
.card{{{light};color:var(--f);background:var(--b);font:13px/1.45 system-ui,sans-serif;border:1px solid var(--l);
border-radius:8px;padding:10px 14px;max-width:100%;box-sizing:border-box}}
@media (prefers-color-scheme:dark){{.card{{{dark}}}}}
[data-jp-theme-light="false"] .card,.vscode-dark .card{{{dark}}}
[data-jp-theme-light="true"] .card,.vscode-light .card{{{light}}}
.card .d{{color:var(--d);font-size:12px}}
.card .s{{overflow-x:auto;margin:8px 0}}
.card table{{border-collapse:collapse;margin:0;font-variant-numeric:tabular-nums}}
.card th,.card td{{border:1px solid var(--l);padding:3px 8px;text-align:left;background:var(--b);color:var(--f)}}
.card thead th{{background:var(--h);font-weight:600}}
.card td.n{{text-align:right}}
"""
    return (common + rules).replace(".card", f".{name}")


def page(title: str, body: str) -> str:
    """Return a page that is one file: a title, and below it what a report says.

    Parameters
    ----------
    title : str
        Plain text.
    body : str
        HTML, such as a card.

    Examples
    --------
    >>> page("A & B", "<pre>so</pre>").endswith("<h1>A &amp; B</h1><pre>so</pre>")
    True
    """
    title = html.escape(title)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>{title}</title><style>{_PAGE}</style><h1>{title}</h1>{body}"
    )
