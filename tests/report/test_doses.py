from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl
import pytest
import yaml
from altair.utils.schemapi import SchemaValidationError
from page import read_page

from oldham.cli.targets import plot_target
from oldham.core.errors import ConfigError
from oldham.core.observations import as_observations
from oldham.coupling import CouplingOptions
from oldham.coupling.dynamics import DoseOptions, dose_dynamics
from oldham.report import render_report
from oldham.report.charts import fluid
from oldham.report.charts.dose import (
    dose_figure,
    dose_names,
    dose_response,
    drawn_axes,
    drawn_planes,
    phase_plane,
)
from oldham.report.charts.parts import checked_whole, inline
from oldham.report.doses import dose_view, save_doses, training_facts

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Oldham
    from oldham.coupling.dynamics_results import Dynamics
    from oldham.report import ReportData

HOSTILE = "</script><b>sft</b>\u202e"
N = 60


def rows(name: str = "sft") -> pl.DataFrame:
    """Reasoning rises by 20 points a dose and refusal falls by 30, item by item."""
    outcomes = {"reasoning": ("incorrect", "correct"), "harm": ("complied_harmful", "refused")}
    return pl.DataFrame(
        [
            {
                "arm": "direct" if k == 0 else f"dose {10 * k}",
                "intervention": name if k else None,
                "dose": 10.0 * k if k else None,
                "axis": axis,
                "benchmark": axis,
                "item": f"i{i:02d}",
                "outcome": outcomes[axis][good],
                "score": float(good),
            }
            for axis, first, step in (("reasoning", 0.2, 0.2), ("harm", 0.9, -0.3))
            for k in range(4)
            for i in range(N)
            for good in (i < round(N * (first + step * k)),)
        ],
        infer_schema_length=None,
    )


def follow(name: str = "sft", **options: Any) -> Dynamics:
    quick = CouplingOptions(resamples=400, permutations=400)
    return dose_dynamics(rows(name), baseline="direct", options=quick, wanted=DoseOptions(**options))


def marks_of(spec: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return next(found for found in spec["datasets"].values() if found and key in found[0])


def test_the_path_is_drawn_as_analysed() -> None:
    found = follow()
    spots = marks_of(fluid(phase_plane(found, "harm")), "angle")
    assert [(s["dose"], s["order"]) for s in spots] == [("0", 0), ("10", 1), ("20", 2), ("30", 3)]
    assert [(s["x"], s["y"]) for s in spots] == [
        (pytest.approx(20 * k, abs=1e-9), pytest.approx(-30 * k, abs=1e-9)) for k in range(4)
    ]


def test_everything_drawn_lies_within_the_scales() -> None:
    spec = fluid(phase_plane(follow(), "harm"))
    layers = {name: [e for layer in spec["layer"] if (e := layer["encoding"].get(name))] for name in "xy"}
    for name in "xy":
        low, high = layers[name][-1]["scale"]["domain"]
        drawn = [row[name] for found in spec["datasets"].values() for row in found if name in row]
        assert low <= min(drawn) <= max(drawn) <= high


def test_a_dose_response_has_its_band_margin_and_critical_dose() -> None:
    found = follow()
    spec = fluid(dose_response(found, "harm"))
    spots = marks_of(spec, "band_low")
    assert [(s["band_low"], s["band_high"]) for s in spots[1:]] == [
        (100 * c.band.low, 100 * c.band.high) for c in found.paths[0].of("harm")
    ]
    assert [s["dose"] for s in spots if s["critical"]] == ["10"]
    assert marks_of(spec, "limit") == [{"limit": -5.0}]
    assert not any("limit" in row for d in fluid(dose_response(found, "reasoning"))["datasets"].values() for row in d)


def test_interventions_stand_apart_on_common_scales_and_seeds_by_pattern() -> None:
    names = [f"{n}[seed={k}]" for n in ("cot", "text") for k in range(3)]
    found = follow()
    arms = {p: replace(found.paths[0], intervention=p) for p in names}
    many = replace(found, paths=tuple(arms.values()))
    assert dose_names(many) == ["cot", "text"]
    sheet = dose_figure(many).to_dict()
    assert [len(row["hconcat"]) for row in sheet["vconcat"]] == [2, 2, 2]
    planes = sheet["vconcat"][0]["hconcat"]
    assert [panel["title"]["text"] for panel in planes] == ["cot, from direct", "text, from direct"]
    assert planes[0]["title"]["subtitle"][1] == "solid: seed 0; dashed: seed 1; dash-dotted: seed 2"
    specs = [fluid(dose_response(many, "harm", name)) for name in dose_names(many)]
    spots = [marks_of(spec, "band_low") for spec in specs]
    assert [{s["path"] for s in some} for some in spots] == [set(names[:3]), set(names[3:])]
    assert [len({s["colour"] for s in some}) for some in spots] == [1, 1]
    assert spots[0][0]["colour"] != spots[1][0]["colour"]


def test_the_scales_of_one_intervention_hold_the_others() -> None:
    found = follow()
    low = replace(found.paths[0], intervention="low")
    low = replace(low, changes=tuple(replace(c, change=c.change - 1) for c in low.changes))
    low = replace(low, plane=tuple(replace(x, d_safety=x.d_safety - 1) for x in low.plane))
    both = replace(found, paths=(found.paths[0], low))
    for draw in (phase_plane, dose_response):
        (one, other) = (
            json.dumps(fluid(draw(both, "harm", name))["layer"][-1]["encoding"]["y"]) for name in ("sft", "low")
        )
        assert one == other
        assert one != json.dumps(fluid(draw(found, "harm"))["layer"][-1]["encoding"]["y"])


def test_an_axis_of_which_nothing_is_known_has_no_chart() -> None:
    found = follow()
    path = found.paths[0]
    dark = tuple(replace(c, axis="privacy", change=math.nan) for c in path.of("harm"))
    found = replace(found, paths=(replace(path, axes=(*path.axes, "privacy"), changes=(*path.changes, *dark)),))
    assert drawn_axes(found) == ["reasoning", "harm"]
    assert drawn_planes(found) == ["harm"]


def test_what_is_unknown_is_not_drawn() -> None:
    found = follow()
    path = found.paths[0]
    nothing = [replace(c, change=math.nan) if (c.axis, c.dose) == ("harm", 20.0) else c for c in path.changes]
    spec = fluid(dose_response(replace(found, paths=(replace(path, changes=tuple(nothing)),)), "harm"))
    assert [s["dose"] for s in marks_of(spec, "change of score")] == ["0", "10", "30"]


def test_the_sheet_is_written_and_asks_nothing_of_others(tmp_path: Path) -> None:
    found = follow()
    assert len(dose_figure(found).to_dict()["vconcat"]) == 2
    save_doses(found, plot_target(tmp_path / "doses.png"))
    assert (tmp_path / "doses.png").read_bytes().startswith(b"\x89PNG")
    save_doses(found, plot_target(tmp_path / "doses.html"))
    assert 'src="http' not in (tmp_path / "doses.html").read_text(encoding="utf-8")


def test_a_figure_needs_a_format_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no format"):
        plot_target(tmp_path / "doses.jpg")
    with pytest.raises(ConfigError, match="folder"):
        plot_target(tmp_path / "none" / "doses.png")


def test_a_run_without_doses_has_no_part_on_them(data: ReportData) -> None:
    assert dose_view(data) is None


@pytest.mark.thorough
def test_the_report_has_a_part_on_doses_where_there_are_any(data: ReportData, html: str) -> None:
    assert "doses" not in [a["id"] for a in read_page(html).all("section")]
    # The made-up run's last two arms become doses of one intervention with a hostile name.
    name = pl.when(pl.col("arm").str.starts_with("sft")).then(pl.lit(HOSTILE))
    dose = pl.col("arm").replace_strict({"sft_60": 60.0, "sft_180": 180.0}, default=None, return_dtype=pl.Float64)
    dosed = replace(
        data,
        observations=data.observations.with_columns(name.alias("intervention"), dose.alias("dose")),
        manifest={**data.manifest, "training": {HOSTILE: {"control": None}}},
    )
    page = read_page(render_report(dosed))
    parts = [a["id"] for a in page.all("section")]
    assert parts[parts.index("effects") + 1] == "doses"
    assert {"phase-harm", "dose-harm", "dose-reasoning"} <= set(json.loads(page.scripts[0][1]))
    assert not page.all("b")
    view = dose_view(dosed)
    assert view is not None
    assert view.paths[0].path.doses == (60.0, 180.0)
    for c in view.paths[0].path.critical:
        assert c.state in ("reached", "none", "open")
    assert "critical dose" in page.text
    assert "a matched learning rate" in page.text


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    rows().write_parquet(path / "observations.parquet")
    manifest = {"baseline": "direct", "training": {"sft": {"control": None}}}
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (path / "study.yaml").write_text(yaml.safe_dump({"name": "doses", "baseline": "direct"}), encoding="utf-8")
    return path


def test_the_command_says_what_was_found(oldham: Oldham, run_dir: Path) -> None:
    plot = run_dir / "doses.svg"
    said = oldham("dose", str(run_dir), "--plot", str(plot))
    assert said.code == 0, said.err
    assert "The critical dose for refusal of harmful requests is 10" in said.out.replace("\n  ", " ")
    assert "`sft` has none; missing: the same steps on text without reasoning" in said.out.replace("\n  ", " ")
    assert plot.read_text(encoding="utf-8").startswith("<svg")
    read = json.loads(oldham("dose", str(run_dir), "--format", "json", "--margin", "0.7").out)
    assert [c["dose"] for c in read["paths"][0]["critical"]] == [30.0]


def test_the_command_prints_ladders_and_local_coupling_only_in_full(oldham: Oldham, run_dir: Path) -> None:
    brief, full = (oldham("dose", str(run_dir), *more).out for more in ((), ("--full",)))
    steps = "Local coupling, from each dose to the next"
    assert steps not in brief
    assert steps in full
    assert "`--full` prints" in brief
    assert "`--full` prints" not in full


def test_the_report_tells_seeds_together(data: ReportData) -> None:
    runs = [
        rows(f"sft[seed={k}]").with_columns(
            pl.when(pl.col("arm") == "direct").then("arm").otherwise(pl.format("{} {}", "arm", pl.lit(k))).alias("arm")
        )
        for k in range(3)
    ]
    table = pl.concat([runs[0], *(r.filter(pl.col("arm") != "direct") for r in runs[1:])])
    view = dose_view(replace(data, observations=as_observations(table), baseline="direct", manifest={}))
    assert view is not None
    (group,) = view.groups
    assert (group.name, len(group.paths)) == ("sft", 3)
    assert "Critical dose: harm 10 (all)." in group.lead
    assert "(all): with every seed" in view.words


def test_a_chart_made_without_checks_is_checked_as_a_whole_and_is_the_same() -> None:
    found = follow()
    checked = fluid(phase_plane(found, "harm"))
    with checked_whole():
        assert fluid(phase_plane(found, "harm")) == checked
        wrong = alt.Chart(inline([{"a": 1}])).mark_line(strokeWidth="fat")
        with pytest.raises(SchemaValidationError):
            fluid(wrong)


def test_mistakes_are_one_sentence(oldham: Oldham, run_dir: Path) -> None:
    wrong = oldham("dose", str(run_dir), "--intervention", "stf")
    assert (wrong.code, wrong.out) == (2, "")
    assert "No arm has a dose of `stf`. Did you mean `sft`?" in wrong.err
    assert oldham("dose", str(run_dir), "--plot", "doses.jpg").code == 2
    assert oldham("dose", str(run_dir), "--back", "sft").code == 2


def test_facts_of_training_come_from_the_manifest(run_dir: Path) -> None:
    assert training_facts(run_dir) == {"sft": {"control": None}}
    assert training_facts(run_dir / "nowhere") == {}
