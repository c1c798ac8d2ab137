"""What the readings of a reader study say: accuracy, agreement, change over time, chance, and the figures of it all.

Definitions and sources: docs/study-statistics.md.
"""

from panodiff.study.analysis.analyse import analyse, analyse_files
from panodiff.study.analysis.answers import read_answers
from panodiff.study.analysis.figures import draw_figures

__all__ = ["analyse", "analyse_files", "draw_figures", "read_answers"]
