"""The command `panodiff`: what is not a stage of the pipeline."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from panodiff.study.commands import add_study

EXIT_PROBLEM = 1  # of doctor, audit and redraw: something is not as it should be
EXIT_REFUSED = 2  # wrong arguments, parameters, weights; nothing was done
EXIT_NOT_READ = 128 + 13  # as of a program that SIGPIPE ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Errors that a user can cause come as one message, without a traceback."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes at its end
        return EXIT_NOT_READ
    except (ValueError, OSError, sqlite3.Error) as error:  # ParamsError, WeightsError and SummaryError are ValueErrors
        print(f"\n{error}\n", file=sys.stderr)
        return EXIT_REFUSED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="panodiff",
        description="Synthetic panoramic radiographs: what is not a stage of the pipeline. The pipeline: `dvc repro`.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="say what is missing or odd on this machine, and what mends it")
    doctor.add_argument("--brief", action="store_true", help="say nothing but problems")
    doctor.set_defaults(run=_doctor)

    summary = commands.add_parser("summary", help="print the headline numbers and where the report is")
    summary.add_argument("--since", type=float, metavar="SECONDS", help="POSIX time: say which stages ran after it")
    summary.set_defaults(run=_summary)

    audit = commands.add_parser("audit", help="check that all files of a run are what records, dvc.lock and git say")
    audit.set_defaults(run=_audit)

    trace = commands.add_parser(
        "trace", help="say where a picture comes from: seed and models, or patient file and licence"
    )
    trace.add_argument("image", type=Path, metavar="IMAGE", help="a synthetic, a harmonized or a raw image")
    trace.set_defaults(run=_trace)

    redraw = commands.add_parser("redraw", help="make one synthetic image again and compare")
    redraw.add_argument("name", metavar="ID", help="such as synthetic-000000")
    redraw.add_argument("--out", type=Path, metavar="DIR", help="keep what was made, in the folders low and high")
    redraw.set_defaults(run=_redraw)

    publish = commands.add_parser("publish", help="write the folder to deposit; refuses while the audit fails")
    publish.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    publish.set_defaults(run=_publish)

    seeds = commands.add_parser(
        "seeds", help="mean and standard deviation over seeds, of the experiments of `dvc exp run`"
    )
    seeds.add_argument("--csv", type=Path, metavar="FILE", help="write the table to a CSV file as well")
    seeds.set_defaults(run=_seeds)

    add_study(commands.add_parser("study", help="hold a reader study: invite, serve, status, export, delete, analyse"))

    weights = commands.add_parser("weights", help="list or install the pretrained weights that a parameter may ask for")
    actions = weights.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what the catalogue knows, and what is installed")
    listing.set_defaults(run=_list_weights)
    fetch = actions.add_parser("fetch", help="install weights, verified by their hash")
    which = fetch.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", metavar="NAME", help="an entry of the catalogue")
    which.add_argument("--all", action="store_true", help="every entry of the catalogue; what cannot be had is named")
    fetch.add_argument("--from", dest="from_dir", type=Path, metavar="DIR", help="take the files from here, no network")
    fetch.set_defaults(run=_fetch_weights)

    importing = commands.add_parser("import", help="make a model folder of a published checkpoint")
    kinds = importing.add_subparsers(title="kinds", required=True, metavar="KIND")
    diffusion = kinds.add_parser("diffusion", help="the U-Net of PanoDiff-SR; nothing in the file is run")
    superres = kinds.add_parser("superres", help="a HAT, such as that of PanoDiff-SR; nothing in the file is run")
    _add_import(diffusion, _import_diffusion)
    _add_import(superres, _import_superres)
    return parser


def _add_import(kind: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    kind.set_defaults(run=run)
    kind.add_argument("file", type=Path, metavar="FILE", help=".pth, .pt, .ckpt or .safetensors")
    kind.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    kind.add_argument(
        "--weights", choices=["ema", "raw"], default="ema", help="the averaged weights (default), or the others"
    )


def _doctor(options: argparse.Namespace) -> int:
    from panodiff.doctor import examine, printed  # noqa: PLC0415

    checks = []
    for check in examine(Path()):
        if check.level == "problem" or not options.brief:
            print(printed(check), flush=True)
        checks.append(check)
    problems = sum(check.level == "problem" for check in checks)
    if problems or not options.brief:
        print(f"\n{problems} problem{'s' if problems != 1 else ''}" if problems else "\nNothing stands in the way.")
    return EXIT_PROBLEM if problems else 0


def _summary(options: argparse.Namespace) -> int:
    from panodiff.params_file import load_params  # noqa: PLC0415
    from panodiff.summary import summary_lines  # noqa: PLC0415

    print("\n".join(summary_lines(load_params(), options.since)))
    return 0


def _audit(options: argparse.Namespace) -> int:
    from panodiff.audit.audit import audit, write_audit  # noqa: PLC0415
    from panodiff.audit.findings import as_lines, fails  # noqa: PLC0415
    from panodiff.audit.run import load_run  # noqa: PLC0415

    run = load_run()
    findings = audit(run)
    print("\n".join(as_lines(findings)))
    print(f"Written to {write_audit(findings, run)}")
    return EXIT_PROBLEM if fails(findings) else 0


def _trace(options: argparse.Namespace) -> int:
    from panodiff.audit.run import load_run  # noqa: PLC0415
    from panodiff.tracing.trace import trace  # noqa: PLC0415

    print("\n".join(trace(options.image, load_run())))
    return 0


def _redraw(options: argparse.Namespace) -> int:
    from panodiff.audit.run import load_run  # noqa: PLC0415
    from panodiff.tracing.redraw import as_lines, redraw  # noqa: PLC0415

    redrawn = redraw(options.name, load_run(), options.out)
    print("\n".join(as_lines(redrawn)))
    return 0 if redrawn.same else EXIT_PROBLEM


def _publish(options: argparse.Namespace) -> int:
    from panodiff.audit.run import load_run  # noqa: PLC0415
    from panodiff.publishing.folder import publish  # noqa: PLC0415

    print("\n".join(publish(load_run(), options.out)))
    return 0


def _seeds(options: argparse.Namespace) -> int:
    from panodiff.experiments import compare_seeds  # noqa: PLC0415

    print("\n".join(compare_seeds(csv_path=options.csv)))
    return 0


def _list_weights(options: argparse.Namespace) -> int:
    from panodiff.report.tables import size  # noqa: PLC0415
    from panodiff.weights import WEIGHTS, read_catalogue  # noqa: PLC0415

    for entry in read_catalogue().values():
        state = "installed" if (WEIGHTS / entry.file).is_file() else "missing"
        print(f"{entry.name:<12}{state:<11}{size(entry.bytes):>8}  for {entry.used_for}; {entry.licence}")
    return 0


def _fetch_weights(options: argparse.Namespace) -> int:
    from panodiff.weights import WEIGHTS, WeightsError, fetch, read_catalogue  # noqa: PLC0415

    failed = []
    for name in read_catalogue() if options.all else [options.name]:
        try:
            print(fetch(name, WEIGHTS, options.from_dir))
        except WeightsError as error:  # with --all, one that cannot be had does not keep the others away
            failed.append(str(error))
    if failed:
        raise WeightsError("\n".join(failed))
    return 0


def _import_diffusion(options: argparse.Namespace) -> int:
    from panodiff.zoo.diffusion import import_published  # noqa: PLC0415

    import_published(options.file, options.out, weights=options.weights)
    print(options.out)
    return 0


def _import_superres(options: argparse.Namespace) -> int:
    from panodiff.zoo.superres import import_published  # noqa: PLC0415

    import_published(options.file, options.out, weights=options.weights)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
