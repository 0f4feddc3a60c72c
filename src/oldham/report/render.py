"""From data to one HTML text. Pure: no file is read but the package's own templates."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import polars as pl
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from oldham._version import __version__
from oldham.coupling import axis_rate, unattacked
from oldham.coupling.coefficient_text import AS_JUDGED
from oldham.report import (
    attacks,
    charts,
    coefficients,
    doses,
    facts,
    flips,
    judges,
    panel,
    pathways,
    stages,
    summary,
    text,
)
from oldham.report.arms import mark_arms
from oldham.report.charts.parts import checked_whole
from oldham.report.outcome_colours import PATTERNED, outcome_colours
from oldham.report.thinking import thinking_by_arm

if TYPE_CHECKING:
    from oldham.coupling import AttackLadder
    from oldham.report.arms import Marks
    from oldham.report.data import ReportData


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report may show."""

    reveal: bool = False
    """Show harmful completions instead of their length."""


def render_report(data: ReportData, options: ReportOptions | None = None) -> str:
    """Render a report.

    Args:
        data: What to report, from `gather`.
        options: What may be shown; None takes the defaults, which withhold harmful completions.

    Returns:
        A complete HTML document with its styles, scripts and data inside. A content security policy in it forbids
        every request and every script but the two it carries.
    """
    options = options or ReportOptions()
    marks = mark_arms(data.arms, data.baseline)
    environment = _environment()
    environment.filters["meaning"] = partial(summary.meaning, effects=data.coupling.effects)
    dosed = doses.dose_view(data)
    own_script = _read_template(environment, "report.js")
    context = {
        "data": data,
        "options": options,
        "marks": marks,
        "version": __version__,
        "title": data.study.get("name") or data.manifest.get("study") or "A study without a name",
        "finished": data.manifest.get("finished"),
        "planes": _plane_axes(data),
        "findings": summary.findings(data),
        "headline": summary.headline(data),
        "baseline_rates": [axis_rate(data.coupling.rates, data.baseline, a) for a in data.axes],
        "asked": summary.asked(data),
        "missing_notice": summary.missing_notice(data),
        "warnings": _warnings(data),
        "outcome_keys": {a: _outcome_key(data, a) for a in data.axes},
        "cells": flips.flip_cells(data, reveal=options.reveal),
        "thinking": thinking_by_arm(unattacked(data.observations), data.arms),
        "attack_axes": attacks.attack_axes(data),
        "as_they_are": summary.as_they_are(data),
        "run_facts": facts.run_facts(data),
        "arm_facts": facts.arm_facts(data),
        "counts": facts.counts(data),
        "smallest": facts.smallest_detectable(data),
        "judge_views": judges.judge_views(data),
        "is_corrected": judges.is_corrected(data.coupling),
        "panel": panel.panel_view(data, reveal=options.reveal),
        "stage_tables": stages.stage_tables(data),
        "stage_meaning": {str(stage): words for stage, words in stages.STAGE_MEANING.items()},
        "doses": dosed,
        "pathways": pathways.pathway_views(data, marks),
        "coefficients": coefficients.coefficient_views(data),
        "as_judged": AS_JUDGED,
        "specs": script_json(chart_specs(data, marks) | (dosed.specs if dosed else {})),
        "css": _read_template(environment, "report.css"),
        "vega": _vega(),
        "own_script": own_script,
        "script_hashes": [_csp_hash(_vega()), _csp_hash(own_script)],
    }
    return environment.get_template("report.html.j2").render(context)


@checked_whole()
def chart_specs(data: ReportData, marks: Marks) -> dict[str, dict[str, Any]]:
    """Return the specification of every chart by the name the template knows it by.

    Args:
        data: The report's data.
        marks: The arms' marks, the baseline among them.

    Returns:
        Vega-Lite specifications.
    """
    others = {arm: mark for arm, mark in marks.items() if arm != data.baseline}
    counted = data.unattacked
    specs: dict[str, Any] = {}
    for axis in _plane_axes(data):
        specs[f"plane-{axis}"] = charts.plane(data.coupling, axis, marks=others)
    specs |= coefficients.coefficient_charts(data, marks)
    if data.coupling.pareto and data.coupling.pareto.arms:
        specs["pareto-front"] = charts.pareto_front(data.coupling, marks=marks)
        specs["pareto-behind"] = charts.behind_best(data.coupling, marks=marks)
    specs |= pathways.pathway_charts(pathways.pathway_views(data, marks))
    for axis in data.axes:
        specs[f"forest-{axis}"] = charts.forest_of(data.coupling, axis, marks=others)
        specs[f"outcomes-{axis}"] = charts.outcomes_of(counted, axis, marks=marks)
        specs[f"flips-{axis}"] = charts.risk_defence(data.coupling, axis, marks=others)
    for axis in dict.fromkeys(e.axis for e in data.coupling.factor_effects):
        specs[f"factors-{axis}"] = charts.main_effects_of(data.coupling, axis)
    specs["thinking"] = charts.thinking(unattacked(data.observations), marks=marks)
    if ladder := data.coupling.attacks:
        for axis in ladder.axes:
            specs |= _attack_specs(ladder, axis, marks)
    fluid = {name: charts.fluid(chart) for name, chart in specs.items()}
    for axis in data.axes:
        scale = fluid[f"outcomes-{axis}"]["encoding"]["color"]["scale"]
        scale["range"] = [colour for _, colour in _outcome_key(data, axis)]
    return fluid


def _attack_specs(ladder: AttackLadder, axis: str, marks: Marks) -> dict[str, Any]:
    listed = attacks.dose_curves(ladder, axis)
    curves = {c.chart: charts.dose_curve(ladder, axis, c.technique, marks=marks) for c in listed}
    shares = {
        name: charts.attack_shares(ladder, axis, marks=marks, attacks=some)
        for name, some in attacks.share_charts(ladder, axis).items()
    }
    return shares | curves


def script_json(value: Any) -> Markup:
    """Write JSON that cannot leave the script element it stands in.

    Args:
        value: Plain JSON types.

    Returns:
        ASCII JSON in which `<`, `>` and `&` are escaped.
    """
    plain = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def _warnings(data: ReportData) -> list[str]:
    planned = data.manifest.get("warnings")
    return [*data.gaps, *data.coupling.caveats, *(map(str, planned) if isinstance(planned, list) else [])]


def _plane_axes(data: ReportData) -> list[str]:
    return [a for a in data.axes if any(p.axis == a for p in data.coupling.plane)]


def _outcome_key(data: ReportData, axis: str) -> list[tuple[str, str]]:
    """Pair an axis's outcomes with their fills: a colour, or a pattern of the page and a colour to fall back on."""
    seen = set(data.unattacked.filter(pl.col("axis") == axis)["outcome"].to_list())
    return [
        (outcome, f"url(#{PATTERNED[outcome]}) {colour}" if outcome in PATTERNED else colour)
        for outcome, colour in outcome_colours(axis, seen).items()
    ]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("oldham.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters.update(
        points=text.points,
        percent=text.percent,
        points_interval=text.points_interval,
        percent_interval=text.percent_interval,
        degrees=text.degrees,
        p_value=text.p_value,
        ratio=text.ratio,
        sentence=text.sentence,
        words=text.words,
        direction=summary.direction,
        plural="{}s".format,
        shade=stages.shade,
        tipping_parts=judges.tipping_parts,
        foldable=text.foldable,
        bad_direction=attacks.direction_of,
        power=attacks.power_words,
        family_words=coefficients.family_words,
        tokens=attacks.tokens,
        time_reached=attacks.time_words,
    )
    return environment


def _shown(value: object) -> object:
    """Pass every value that enters the page through `visible`, whoever wrote it."""
    return value if isinstance(value, Markup) else text.visible(str(value))


def _read_template(environment: Environment, name: str) -> Markup:
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0].strip())  # noqa: S704 (the package's own file)


@cache
def _vega() -> Markup:
    """Return Vega, Vega-Lite and vega-embed as one script that leaves one name behind."""
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return Markup(f"(function () {{{bundle}}})();")  # noqa: S704 (the installed package's own code)


def _csp_hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
