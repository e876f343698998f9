"""The crossover map: the step's speedup over sequence length and batch."""

from math import log2
from typing import Any

from sparq_perf.report import chart_style as style
from sparq_perf.report.wording import times_faster, tokens
from sparq_perf.sizing_report.studies import CrossoverMap, MapCell


def crossover_figure(crossover: CrossoverMap, reach: float) -> dict[str, Any]:
    """Cells coloured by the logarithm of the step's speedup; those that memory cannot hold are pale and in italics."""
    batches = sorted({cell.batch for cell in crossover.cells})
    lengths = sorted({cell.seq_len for cell in crossover.cells})
    cells = {(cell.batch, cell.seq_len): cell for cell in crossover.cells}
    rows = [[cells[batch, length] for length in lengths] for batch in batches]
    x, y = list(range(len(lengths))), list(range(len(batches)))
    trace = {
        "type": "heatmap",
        "x": x,
        "y": y,
        "z": [[log2(cell.speedup) if cell.fits else None for cell in row] for row in rows],
        "zmin": -reach,
        "zmax": reach,
        "colorscale": [[0, style.SLOWER.light], [0.5, style.EVEN.light], [1, style.FASTER.light]],
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hoverongaps": True,
        "hoverinfo": "text",
        "hovertext": [[_map_hover(cell) for cell in row] for row in rows],
    }
    marks = [
        {"x": column, "y": line, "showarrow": False, **_mark(cell, reach)}
        for line, row in enumerate(rows)
        for column, cell in enumerate(row)
    ]
    xaxis = style.axis(
        "Sequence length (tokens, 1k = 1,024)",
        showgrid=False,
        tickvals=x,
        ticktext=[tokens(length) for length in lengths],
    )
    yaxis = style.axis("Batch", showgrid=False, tickvals=y, ticktext=[str(batch) for batch in batches])
    return {"data": [trace], "layout": style.layout(90 + 34 * len(y), xaxis, yaxis, annotations=marks)}


def _mark(cell: MapCell, reach: float) -> dict[str, Any]:
    if not cell.fits:
        return {"text": f"<i>{_short(cell.speedup)}</i>", "font": {"size": 10, "color": style.MUTED.light}}
    colour = style.ON_STRONG if abs(log2(cell.speedup)) > 0.8 * reach else style.INK
    return {"text": _short(cell.speedup), "font": {"size": 11, "color": colour.light}}


def _short(speedup: float) -> str:
    return f"{speedup:.2f}" if speedup < 9.995 else f"{speedup:.1f}"


def _map_hover(cell: MapCell) -> str:
    return style.hover(
        f"batch {cell.batch}, {tokens(cell.seq_len)} tokens{'' if cell.fits else ': memory cannot hold it'}",
        f"step {times_faster(cell.speedup)}, at least {times_faster(cell.lower)}",
        f"attention {times_faster(cell.attention)}",
    )
