import pandas as pd
import pytest
from studies import simulated, tallied

from panodiff.study.analysis import read_answers
from panodiff.study.analysis.answers import case_name
from panodiff.study.levels import LEVELS, READING_COLUMNS

LABELS = "Filename,Label\na.png,Real\nb.png,Fake\n"
ANSWERS = "User Name,File,RealFakeValueSlider\nAda,a.png,Unsure\nAda,b.png,Definitely Fake\n"


@pytest.fixture
def read(tmp_path):
    """Reads the two texts as files."""

    def read(answers: str = ANSWERS, labels: str = LABELS):
        paths = tmp_path / "answers.csv", tmp_path / "labels.csv"
        for path, text in zip(paths, (answers, labels), strict=True):
            path.write_text(text, encoding="utf-8")
        return read_answers(*paths)

    return read


def test_an_own_export_comes_back_as_it_was(tmp_path):
    readings, labels = simulated(num_readers=2, num_cases=3)
    readings.to_csv(tmp_path / "answers.csv", index=False)
    labels.assign(id="x").to_csv(tmp_path / "key.csv", index=False)
    found, truth = read_answers(tmp_path / "answers.csv", tmp_path / "key.csv")
    assert tuple(found.columns) == READING_COLUMNS
    pd.testing.assert_frame_equal(found, readings)
    pd.testing.assert_frame_equal(truth, labels.assign(id="x"))


def test_the_published_columns_are_read_with_any_letters_and_blanks(read):
    text = "File,Note, User Name ,RealFakeValueSlider\na.png,1,Ada, pRobably  REAL \n\\x\\b.PNG,,Ada,Unsure\n\n"
    readings, truth = read("\ufeff" + text, "Label,Filename,extra\nREAL ,/some/folder/a.JPG,\n fake,b.png,7\n")
    assert readings.to_dict("records") == [
        {"reader": "Ada", "case": "a", "answer": "probably real"},
        {"reader": "Ada", "case": "b", "answer": "unsure"},
    ]
    assert truth.to_dict("records") == [{"case": "a", "label": "real"}, {"case": "b", "label": "synthetic"}]


def test_extra_columns_change_nothing_whatever_they_are_called(read):
    found, truth = read()
    extra, extra_truth = read(
        "User Name,File,RealFakeValueSlider,answer,reader,case,position,repeat,group\n"
        "Ada,a.png,Unsure,Definitely Real,Bob,b,left,9,x\nAda,b.png,Definitely Fake,Unsure,Eve,z,right,9,y\n",
        "Filename,Label,label,case,warm_up\na.png,Real,Fake,z,1\nb.png,Fake,Real,y,1\n",
    )
    assert extra.to_dict("records") == found.to_dict("records")
    assert extra_truth.to_dict("records") == truth.to_dict("records")


def test_an_answer_to_a_warm_up_case_is_refused_by_name(read):
    key = "case,label,id,warm_up\na,real,x,0\nb,synthetic,y,0\nw1,real,z,1\n"
    header = "reader,case,answer\nAda,a,unsure\n"
    assert read(header, key)[1]["case"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match=r"line 3: answers to warm-up cases do not count, 'w1' is one by .*labels.csv"):
        read(header + "Ada,w1,unsure\n", key)


def test_every_level_of_the_published_tallies_is_read(tmp_path):
    readings, labels = tallied()
    columns = {"reader": "User Name", "case": "File", "answer": "RealFakeValueSlider"}
    published = readings.rename(columns=columns).assign(RealFakeValueSlider=readings["answer"].str.title())
    published.to_csv(tmp_path / "answers.csv", index=False)
    labels.rename(columns={"case": "Filename", "label": "Label"}).replace("synthetic", "Fake").to_csv(
        tmp_path / "labels.csv", index=False
    )
    found, truth = read_answers(tmp_path / "answers.csv", tmp_path / "labels.csv")
    assert found["answer"].value_counts().reindex(LEVELS).tolist() == [109, 306, 157, 381, 247]
    assert truth["label"].tolist() == ["synthetic"] * 100 + ["real"] * 100


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("case-01", "case-01"),
        ("fake/img.v2.Png", "img.v2"),
        ("C:\\x\\y.TIFF", "y"),
        ("a.b", "a.b"),
        (".png", ".png"),
        ("A.png", "A"),
    ],
)
def test_a_case_is_named_without_folder_and_image_suffix(text: str, name: str):
    assert case_name(text) == name


def test_a_repeat_is_no_second_answer_and_two_repeats_are(read):
    header = "reader,case,answer,repeat\n"
    first = "Ada,a,unsure,\nAda,a,unsure,1\n"
    assert read(header + first)[0]["repeat"].tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"line 4: .*repeat = 1; 'Ada' answered 'a' before, at .*line 3"):
        read(header + first + "Ada,a,unsure,1\n")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (ANSWERS + "Ada,c.png,Unsure\n", "answers.csv, line 4: each case must have a label in .*labels.csv, 'c' has"),
        (ANSWERS + "Ada,x/a.PNG,Unsure\n", "line 4: a reader must answer a case once.*'Ada' answered 'a' before.*2"),
        (ANSWERS + "Bob,a.png,maybe\n", "line 4: an answer must be one of definitely real, .*got 'maybe'"),
        (ANSWERS + "  ,a.png,Unsure\n", "line 4: each answer must name its reader"),
        (ANSWERS + "Bob,a.png\n", "line 4: a row must have 3 cells, it has 2"),
        ('User Name,File,RealFakeValueSlider\n"A\nB",a.png,x\n', "line 3: an answer must be"),
        ("User Name,RealFakeValueSlider\nAda,Unsure\n", "must have the columns reader, case, answer, or as published"),
        ("", "answers.csv must hold a table, it is empty"),
        ("User Name,File,RealFakeValueSlider\n\n", "must hold at least one row"),
        ('User Name,File,RealFakeValueSlider\n"Ada,a.png', "must be a CSV in UTF-8"),
        ("reader,case,answer,repeat\nAda,a,unsure,2\n", "line 2: repeat must be 0, 1 or empty, got '2'"),
        (
            "reader,case,answer,repeat\nAda,a,unsure,0\nBob,a,unsure,1\n",
            "line 3: a repeat must have a first reading, 'Bob'",
        ),
        ("reader,case,answer,reader\nAda,a,unsure,Bob\n", "must have one column reader, it has 2"),
        ("reader,case,answer,response_s\nAda,a,unsure,fast\n", "line 2: response_s must be a number .*got 'fast'"),
        ("reader,case,answer,response_s\nAda,a,unsure,-1\n", "line 2: response_s must be a number .*got '-1'"),
        ("reader,case,answer,group\nAda,a,unsure,x\nAda,b,unsure,y\n", "line 3: .*one group, 'Ada' was in 'x'"),
    ],
)
def test_answers_that_cannot_be_meant_are_refused_by_name(read, answers: str, message: str):
    with pytest.raises(ValueError, match=message):
        read(answers)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS + "other/b.JPG,Real\n", "labels.csv, line 4: a case must have one label, 'b' has one at .*line 3"),
        (LABELS + "c.png,Maybe\n", "line 4: a label must be one of real, synthetic, fake, got 'Maybe'"),
        (LABELS + ",Real\n", "line 4: each label must name its case"),
        ("Filename\na.png\n", "must have the columns case, label, or as published Filename, Label; it has Filename"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused_by_name(read, labels: str, message: str):
    with pytest.raises(ValueError, match=message):
        read(labels=labels)


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text(LABELS)
    with pytest.raises(ValueError, match=r"none\.csv must be a file that can be read: No such file"):
        read_answers(tmp_path / "none.csv", labels)
    labels.write_bytes(LABELS.encode("utf-16"))
    with pytest.raises(ValueError, match=r"labels\.csv must be a CSV in UTF-8"):
        read_answers(tmp_path / "none.csv", labels)
