"""The speedup heatmap: blue is faster than dense, orange slower, the numbers stand in the cells."""

from math import log2
from typing import Any

from sparq_perf.report import chart_style as style
from sparq_perf.report.heatmaps import Cell, Heatmap
from sparq_perf.report.wording import times_faster, tokens


def heatmap_figure(heatmap: Heatmap, reach: float) -> dict[str, Any]:
    """Cells coloured by the logarithm to base 2 of the speedup, from ``-reach`` to ``reach``."""
    cells = {(cell.batch, cell.seq_len): cell for cell in heatmap.cells}
    rows = [[cells[batch, seq_len] for seq_len in heatmap.seq_lens] for batch in heatmap.batches]
    # Cells stand at whole numbers, and ticks name them: a batch of 4 as a name would be taken for a place.
    x, y = list(range(len(heatmap.seq_lens))), list(range(len(heatmap.batches)))
    trace = {
        "type": "heatmap",
        "x": x,
        "y": y,
        "z": [[log2(cell.speedup) if cell.speedup else None for cell in row] for row in rows],
        "zmin": -reach,
        "zmax": reach,
        "colorscale": [[0, style.SLOWER.light], [0.5, style.EVEN.light], [1, style.FASTER.light]],
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hoverongaps": True,
        "hoverinfo": "text",
        "hovertext": [[_cell_text(cell) for cell in row] for row in rows],
    }
    marks = [
        {"x": column, "y": row, "showarrow": False, **_cell_mark(cell, reach)}
        for row, cells_of_row in enumerate(rows)
        for column, cell in enumerate(cells_of_row)
    ]
    lengths = {"tickvals": x, "ticktext": [tokens(length) for length in heatmap.seq_lens]}
    batches = {"tickvals": y, "ticktext": [str(batch) for batch in heatmap.batches]}
    xaxis = style.axis("Sequence length (tokens, 1k = 1,024)", showgrid=False, **lengths)
    yaxis = style.axis("Batch", showgrid=False, **batches)
    return {"data": [trace], "layout": style.layout(90 + 46 * len(y), xaxis, yaxis, annotations=marks)}


def _cell_mark(cell: Cell, reach: float) -> dict[str, Any]:
    if cell.speedup is None:
        return {"text": cell.mark, "font": {"size": 10, "color": style.MUTED.light}}
    # From four fifths of the scale on, light text reads better on the cell than dark text.
    colour = style.ON_STRONG if abs(log2(cell.speedup)) > 0.8 * reach else style.INK
    return {"text": times_faster(cell.speedup), "font": {"size": 11, "color": colour.light}}


def _cell_text(cell: Cell) -> str:
    head = f"batch {cell.batch}, {tokens(cell.seq_len)} tokens"
    if cell.speedup is None:
        return style.hover(head, f"no speedup: {cell.reason}")
    predicted = f"predicted {times_faster(cell.predicted)}" if cell.predicted else "no prediction"
    return style.hover(head, f"measured {times_faster(cell.speedup)}", predicted)
