"""The five answers of a reader, and the columns in which answers are handed on."""

LEVELS = ("definitely real", "probably real", "unsure", "probably fake", "definitely fake")  # answer 1 to 5
LABELS = ("real", "synthetic")
READING_COLUMNS = (
    "reader",  # pseudonym
    "group",  # of experience, as the organizer invited the reader
    "case",  # opaque name of the image
    "answer",  # one of LEVELS
    "position",  # 1, 2, … in the reader's own order
    "repeat",  # 1: a second reading of the case by the same reader
    "viewing_s",  # from the first painted frame until answer or time limit
    "response_s",  # from the first painted frame until the answer
    "answered",  # UTC, ISO 8601
)
