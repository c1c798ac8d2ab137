"""What the page shows of the audit: the checks that can be made while the report is, from what it reads."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from panodiff.audit.audit import CHECKS, audit_records
from panodiff.audit.findings import verdict
from panodiff.audit.run import load_records

MOST_SHOWN = 12  # problems of one check; the rest are counted


def show_verdict(records: Sequence[str]) -> dict[str, Any]:
    """What the checks of the records at these paths found."""
    run = load_records([PurePosixPath(path).stem for path in records])
    findings = audit_records(run)
    return {
        "sentence": verdict(findings),
        "findings": findings,
        "stages": list(run.records),
        "num_all": len(CHECKS),
        "most_shown": MOST_SHOWN,
    }
