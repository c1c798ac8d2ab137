"""Where the radiographs come from: the catalogue of public sources, ingestion, and drawn phantoms.

Its modules share how archives are called and what is said of a file that cannot be used.
"""

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tbz")


class UnusableError(Exception):
    """The file is no usable radiograph.

    Attributes:
        args: The reason, for the file's row in the manifest: it names nothing that the file says of a person.
        facts: What is known of the file all the same, by the manifest's columns.
    """

    def __init__(self, reason: str, **facts: object) -> None:
        super().__init__(reason)
        self.facts = facts


class HiddenError(UnusableError):
    """Nobody knows what a folder or an archive holds: it may hide radiographs."""
