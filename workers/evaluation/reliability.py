"""The reliability diagram: what a probability says, and how often it was so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.outcome import UsageError
from workers.evaluation.metrics import Bin


def require_drawing() -> None:
    """Raises UsageError where no picture can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("--plot needs matplotlib, which the extra `train` brings") from error


def reliability_table(found: Sequence[Bin], of: str) -> str:
    """One line for each bin that holds an item; `of` names the probability."""
    lines = [f"{of:<16}{'items':>8}{'said':>8}{'was':>8}"]
    for bin in found:
        if bin.items:
            edges = f"{bin.low:.2f} to {bin.high:.2f}"
            lines.append(f"{edges:<16}{bin.items:>8,}{bin.said:>8.2f}{bin.was:>8.2f}")
    return "\n".join(lines)


def draw_reliability(curves: Mapping[str, Sequence[Bin]], picture: Path) -> None:
    """Write a PNG: a line for each curve, and below how many items its bins hold.

    Raises:
        UsageError: the file cannot be written, or there is no matplotlib.
    """
    require_drawing()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(
        2, figsize=(5, 6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    above.plot((0, 1), (0, 1), color="0.7", linewidth=0.8)
    for name, found in curves.items():
        held = [bin for bin in found if bin.items]
        above.plot([bin.said for bin in held], [bin.was for bin in held], marker="o", label=name)
        edges = [found[0].low, *(bin.high for bin in found)]
        below.stairs([bin.items for bin in found], edges, label=name)
    above.set(ylabel="share that was hateful", xlim=(0, 1), ylim=(0, 1))
    above.legend()
    below.set(xlabel="probability of hateful", ylabel="items")
    try:
        figure.savefig(picture, dpi=120, format="png")
    except OSError as error:
        raise UsageError(f"{picture} cannot be written: {error}") from error
    finally:
        pyplot.close(figure)
