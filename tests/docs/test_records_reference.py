"""The page of records names every kind, marker and format that there is."""

from __future__ import annotations

import re
from pathlib import Path

from galaxy_core.model.records import unkept
from galaxy_core.model.records.encode import FORMAT
from galaxy_core.model.records.fold import READERS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "records.md").read_text()


def test_the_page_of_records_names_each_kind_and_no_other() -> None:
    told = [name for row in re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert sorted(told) == sorted(READERS)


def test_the_page_of_records_names_each_marker_and_each_format() -> None:
    markers = {value for name, value in vars(unkept).items() if name.isupper() and str(value).startswith("$")}
    assert markers == set(re.findall(r"`(\$\w+)`", PAGE))
    assert re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE) == [str(one) for one in range(1, FORMAT + 1)]
