"""`panodiff study …`: invite readers, show the study, see who is where, export, delete, analyse."""

import argparse
from pathlib import Path

SERVED, STATE, READINGS = Path("data/study/served"), Path("data/answers/study.sqlite"), Path("data/readings")


def add_study(study: argparse.ArgumentParser) -> None:
    """Add the actions to the parser of `panodiff study`."""
    actions = study.add_subparsers(title="actions", required=True, metavar="ACTION")

    invite = actions.add_parser("invite", help="make a code for each new reader, printed once")
    invite.add_argument("pseudonyms", nargs="+", metavar="PSEUDONYM", help="no names: who is who is on your own list")
    invite.add_argument("--group", required=True, help="of experience, such as specialist")
    invite.set_defaults(run=_invite)

    serve = actions.add_parser("serve", help="show the study until stopped")
    serve.add_argument("--consent", type=Path, metavar="FILE", help="plain text that readers agree to")
    serve.add_argument("--results", type=Path, metavar="KEY.csv", help="show readers their own results in the end")
    serve.add_argument("--leaderboard", action="store_true", help="and those of all who have finished")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine alone)")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--certificate", type=Path, metavar="FILE", help="for HTTPS, with --private-key")
    serve.add_argument("--private-key", type=Path, metavar="FILE")
    serve.add_argument("--public", action="store_true", help="by a tunnel of ngrok, whose token is in NGROK_AUTHTOKEN")
    serve.set_defaults(run=_serve)

    status = actions.add_parser("status", help="who is where")
    status.set_defaults(run=_status)

    export = actions.add_parser("export", help="write readings.csv and readers.csv, pseudonyms only")
    export.add_argument("folder", type=Path, nargs="?", default=READINGS, metavar="FOLDER", help=f"default {READINGS}")
    export.set_defaults(run=_export)

    delete = actions.add_parser("delete", help="delete a reader with all answers")
    delete.add_argument("pseudonym", metavar="PSEUDONYM")
    delete.set_defaults(run=_delete)

    analyse = actions.add_parser("analyse", help="statistics of any study, from two tables")
    analyse.add_argument("--answers", type=Path, required=True, metavar="CSV", help="as exported, or as published")
    analyse.add_argument("--labels", type=Path, required=True, metavar="CSV", help="key.csv, or as published")
    analyse.add_argument("--out", type=Path, required=True, metavar="JSON")
    analyse.add_argument("--figures", type=Path, metavar="FOLDER", help="draw figures there")
    analyse.add_argument("--images", type=Path, metavar="FOLDER", help="with the cases, for those that fooled most")
    analyse.set_defaults(run=_analyse)


def _invite(options: argparse.Namespace) -> int:
    from panodiff.study.app.database import Database  # noqa: PLC0415
    from panodiff.study.app.organizer import invite  # noqa: PLC0415
    from panodiff.study.app.served import load_served  # noqa: PLC0415

    served = load_served(SERVED)
    codes = invite(served, Database(STATE, served), options.pseudonyms, options.group)
    print("\n".join(f"{pseudonym}  {code}" for pseudonym, code in codes.items()))
    return 0


def _serve(options: argparse.Namespace) -> int:
    try:
        from panodiff.study.app.server import serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ValueError(f'{error.name} is not installed: pip install "panodiff[study]", or make setup') from None
    if (options.certificate is None) != (options.private_key is None):
        raise ValueError("--certificate and --private-key must be given together")
    tls = (options.certificate, options.private_key) if options.certificate else None
    serve(
        SERVED,
        STATE,
        consent=options.consent,
        key=options.results,
        leaderboard=options.leaderboard,
        host=options.host,
        port=options.port,
        tls=tls,
        public=options.public,
    )
    return 0


def _status(options: argparse.Namespace) -> int:
    from panodiff.study.app.database import Database  # noqa: PLC0415
    from panodiff.study.app.organizer import status_lines  # noqa: PLC0415

    print("\n".join(status_lines(Database(STATE))))
    return 0


def _export(options: argparse.Namespace) -> int:
    from panodiff.study.app.database import Database  # noqa: PLC0415
    from panodiff.study.app.organizer import export  # noqa: PLC0415

    print("\n".join(export(Database(STATE), options.folder)))
    return 0


def _delete(options: argparse.Namespace) -> int:
    from panodiff.study.app.database import Database  # noqa: PLC0415
    from panodiff.study.app.organizer import delete_reader  # noqa: PLC0415

    print(delete_reader(Database(STATE), options.pseudonym))
    return 0


def _analyse(options: argparse.Namespace) -> int:
    from panodiff.study.analysis.analyse import analyse_files  # noqa: PLC0415

    lines = analyse_files(options.answers, options.labels, options.out, figures=options.figures, images=options.images)
    print("\n".join(lines))
    return 0
