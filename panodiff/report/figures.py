"""The figures again as files for a paper: charts as PNG and CSV, pictures without loss, the pipeline, the headline."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from panodiff.images import Grey, tile, write_grey
from panodiff.report.charts import Chart
from panodiff.report.numbers import Absent
from panodiff.report.pictures import Rows

MOST_IMAGES = 24  # of a grid: four in a row, six rows
_COLUMNS = 4


class FigureFolder:
    """A folder of figures; `captions.md` says of each file what it shows."""

    def __init__(self, folder: Path, facts: Sequence[str]) -> None:
        """Make the folder; `facts` say of which run the figures are."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._captions = folder, ["# Figures", f"Of a run of panodiff: {', '.join(facts)}."]

    def add_chart(self, chart: Chart) -> None:
        """The drawing, as wide as a journal's column, and the numbers in it."""
        (self._folder / f"{chart.name}.png").write_bytes(chart.png)
        chart.numbers.to_csv(self._folder / f"{chart.name}.csv", index=False, lineterminator="\n")
        self._say(f"{chart.name}.png, {chart.name}.csv", f"{chart.title}. {chart.caption}")

    def add_grid(self, name: str, rows: Rows | Absent, caption: str) -> None:
        """The first images of a figure, in rows of four."""
        if not isinstance(rows, Absent):
            shots = [shot for row in rows for shot in row][:MOST_IMAGES]
            rows = [shots[start : start + _COLUMNS] for start in range(0, len(shots), _COLUMNS)]
        self.add_rows(name, rows, caption)

    def add_rows(self, name: str, rows: Rows | Absent, caption: str) -> None:
        """Rows of pictures of which the first ones may be smaller: enlarged to the last one's size, pixel by pixel."""
        if isinstance(rows, Absent):
            self._say(f"{name}.png", f"Not there: {rows.reason}.")
            return
        cells = [_enlarged(shot.image, row[-1].image) for row in rows for shot in row]
        write_grey(self._folder / f"{name}.png", tile(cells, len(rows[0])))
        told = "; ".join(" | ".join(shot.label for shot in row) for row in rows)
        self._say(f"{name}.png", f"{caption} By row: {told}.")

    def add_drawing(self, name: str, svg: str, caption: str) -> None:
        """A drawing that has its own colours."""
        (self._folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        self._say(f"{name}.svg", caption)

    def add_table(self, name: str, table: pd.DataFrame, caption: str) -> None:
        """A table of numbers."""
        table.to_csv(self._folder / f"{name}.csv", index=False, lineterminator="\n")
        self._say(f"{name}.csv", caption)

    def close(self) -> None:
        """Write captions.md."""
        text = "\n\n".join(self._captions)
        (self._folder / "captions.md").write_text(f"{text}\n", encoding="utf-8", errors="replace")

    def _say(self, files: str, caption: str) -> None:
        self._captions.append(f"**{files}.** {caption}")


def _enlarged(image: Grey, like: Grey) -> Grey:
    height, width = like.shape
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)
