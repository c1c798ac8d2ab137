"""The stage analyse_study: the answers that readers have given, if there are any to these cases."""

from pathlib import Path

import pandas as pd

from panodiff.files import write_json
from panodiff.study.analysis.analyse import analyse_files


def analyse_readings(folder: Path, study: Path, *, seed: int, out: Path, figures: Path) -> None:
    """Write the statistics of `folder`/readings.csv to `out`, and figures.

    A study belongs to its draw: after a change that draws other cases its answers say nothing of these, and the
    statistics are absent with that reason.

    Args:
        folder: Where readings.csv is, or is not.
        study: What the stage study made: key.csv, and the cases below served/.
        seed: Of the bootstrap.
        out: JSON to write.
        figures: Folder for figures; empty where there are no statistics.
    """
    figures.mkdir(parents=True, exist_ok=True)
    answers, key = folder / "readings.csv", study / "key.csv"
    if not answers.is_file():
        write_json(out, {"absent": f"no reader study has been held yet: {answers} is missing"})
        return
    if not answers.read_text(encoding="utf-8-sig").partition("\n")[2].strip():
        write_json(out, {"absent": f"nobody has answered yet: {answers} has no row"})
        return
    cases, read = (set(pd.read_csv(path, dtype=str).get("case", [])) for path in (key, answers))
    if unknown := len(read - cases):
        reason = f"the answers are to cases of another draw: {unknown} of {len(read)} cases are not in {key}"
        write_json(out, {"absent": reason})
        return
    analyse_files(answers, key, out, seed=seed, figures=figures, images=study / "served/cases")
