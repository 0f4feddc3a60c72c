r"""The table of effects for a paper: LaTeX with booktabs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from oldham.coupling import axis_rate

if TYPE_CHECKING:
    from oldham.coupling import Coupling
    from oldham.coupling.results import Effect, Interval

_SPECIAL: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        **{c: rf"\{c}" for c in "&%$#_{}"},
        **{chr(c): " " for c in (*range(32), 127)},
    }
)
_NONE: Final = "--"


def effects_table(coupling: Coupling) -> str:
    r"""Write the effects of every arm on every axis as a table.

    Args:
        coupling: What the analysis found.

    Returns:
        A `table` environment that needs `\usepackage{booktabs}`: score and change in percentage points with its 95%
        interval, the same corrected for the judge's known errors (dashes without a card), the p-value adjusted over the
        arms (Holm), and the number of paired items.
    """
    effects = {(e.axis, e.arm): e for e in coupling.effects}
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{Change against \texttt{{{escape(coupling.baseline)}}} in percentage points, with "
        r"95\% intervals; on every axis more is better.}",
        r"  \begin{tabular}{llrrlrlrr}",
        r"    \toprule",
        r"    Axis & Arm & Score & Change & 95\% interval & Corrected & 95\% interval & $p$ (Holm) & $n$ \\",
    ]
    for axis in coupling.axes:
        lines.append(r"    \midrule")
        for i, arm in enumerate((coupling.baseline, *coupling.arms)):
            cells = [escape(axis) if i == 0 else "", escape(arm), _points(axis_rate(coupling.rates, arm, axis))]
            cells += _change(effects.get((axis, arm)))
            lines.append(f"    {' & '.join(cells)} \\\\")
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Write a text so that LaTeX prints it as it is.

    Args:
        text: Any text; control characters become blanks.
    """
    return text.translate(_SPECIAL)


def _change(effect: Effect | None) -> list[str]:
    if effect is None or math.isnan(effect.delta):
        return [*[_NONE] * 5, _NONE if effect is None else str(effect.n_items)]
    fixed = effect.corrected
    return [
        *_with_interval(effect.delta, effect.interval),
        *(_with_interval(fixed.value, fixed.interval) if fixed else (_NONE, _NONE)),
        _p_value(effect.p_holm),
        str(effect.n_items),
    ]


def _with_interval(change: float, interval: Interval) -> tuple[str, str]:
    if math.isnan(change):
        return _NONE, _NONE
    low, high = (_points(end, signed=True) for end in interval)
    is_known = not any(math.isnan(end) for end in interval)
    return f"${_points(change, signed=True)}$", f"$[{low}, {high}]$" if is_known else _NONE


def _points(share: float, *, signed: bool = False) -> str:
    if math.isnan(share):
        return _NONE
    return f"{100 * share:{'+' if signed else ''}.1f}"


def _p_value(p: float) -> str:
    if math.isnan(p):
        return _NONE
    return r"$<0.001$" if p < 0.001 else f"{p:.3f}"
