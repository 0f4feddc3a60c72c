"""Format controls as a run's manifest tells them: which arm is another one without its format or prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def told_controls(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return what a manifest says of format controls.

    Args:
        manifest: Of a run; one that says nothing of them gives none.

    Returns:
        By arm, the arm that is the same without its format or prefix.
    """
    arms = manifest.get("arms")
    told = {
        str(name): said.get("format_control")
        for name, said in (arms.items() if isinstance(arms, dict) else ())
        if isinstance(said, dict)
    }
    return {arm: control for arm, control in told.items() if isinstance(control, str)}


def controls_among(controls: Mapping[str, str], arms: Collection[str]) -> dict[str, str]:
    """Keep the controls of which there are rows: one without its arm, or without rows of its own, tells nothing.

    Args:
        controls: By arm.
        arms: The arms with rows.
    """
    return {arm: control for arm, control in controls.items() if arm in arms and control in arms}
