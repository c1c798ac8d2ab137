"""`panodiff audit`: all checks of a run. Reads only; what it found goes to metrics/audit.md."""

from datetime import UTC, datetime
from pathlib import Path

import panodiff
from panodiff.audit import agreement, code, data
from panodiff.audit.findings import Finding, as_markdown
from panodiff.audit.run import Run
from panodiff.files import written_whole

CHECKS = (
    agreement.check_outputs,
    agreement.check_inputs,
    agreement.check_definitions,
    agreement.check_chain,
    code.check_commits,
    code.check_clean,
    code.check_environment,
    code.check_weights,
    data.check_terms,
    data.check_accounting,
    data.check_splits,
    data.check_published,
    data.check_pictures,
)

OF_RECORDS = (  # what can be said while the last stage runs, from what it reads
    agreement.check_chain,
    code.check_commits,
    code.check_environment,
    data.check_terms,
    data.check_splits,
    data.check_published,
    data.check_pictures,
)


def audit(run: Run) -> list[Finding]:
    """What each check finds, in order."""
    return [check(run) for check in CHECKS]


def audit_records(run: Run) -> list[Finding]:
    """What the checks find that need no dvc.lock (see `panodiff.audit.run.load_records`)."""
    return [check(run) for check in OF_RECORDS]


def write_audit(findings: list[Finding], run: Run) -> Path:
    """Write metrics/audit.md; where it is."""
    path = run.root / "metrics/audit.md"
    facts = [
        ("made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("by", f"panodiff {panodiff.__version__}, `panodiff audit`"),
        ("profile", run.params.profile),
        ("seed", str(run.params.seed)),
        ("dvc.lock", f"SHA-256 {run.contents.sha256('dvc.lock')}"),
    ]
    with written_whole(path) as aside:
        aside.write_text(as_markdown(findings, "Audit of a run", facts), encoding="utf-8", errors="replace")
    return path
