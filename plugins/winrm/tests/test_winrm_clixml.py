"""Standard error of PowerShell, taken apart into its streams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core_winrm.clixml import decode, unescaped
from galaxy_core_winrm.simulate.powershell.clixml import document

NAMESPACE = 'Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04"'


def test_errors_and_warnings_are_shown_and_everything_is_kept_apart() -> None:
    told = decode(
        document(
            [
                ("progress", "Preparing modules for first use."),
                ("error", "it broke\r\n"),
                ("warning", "low on paper"),
                ("verbose", "looking"),
                ("debug", "x=1"),
            ]
        )
    )
    assert told.text == "it broke\nWARNING: low on paper\n"
    assert told.streams == {
        "error": "it broke\n",
        "warning": "low on paper\n",
        "verbose": "looking\n",
        "debug": "x=1\n",
    }


def test_every_message_has_a_line_of_its_own() -> None:
    told = decode(document([("warning", "careful"), ("error", "bad\r\n"), ("warning", "one"), ("warning", "two")]))
    assert told.text == "WARNING: careful\nbad\nWARNING: one\nWARNING: two\n"
    assert told.streams["warning"] == "careful\none\ntwo\n"


def test_progress_alone_says_nothing() -> None:
    assert decode(document([("progress", "Preparing modules for first use.")])).text == ""


def test_text_that_is_no_clixml_stays_as_it_is() -> None:
    assert decode('plain <S S="Error">x</S> & more').text == 'plain <S S="Error">x</S> & more'


def test_what_stands_around_a_document_stays() -> None:
    told = decode("before\n" + document([("error", "inside")]) + "after")
    assert told.text == "before\ninsideafter"


def test_two_documents_are_read_both() -> None:
    assert decode(document([("error", "one ")]) + document([("error", "two")])).text == "one two"


def test_information_records_are_found() -> None:
    text = (
        f'#< CLIXML\r\n<Objs {NAMESPACE}><Obj S="information" RefId="0"><TN RefId="0"><T>System.Management.Automation.'
        'InformationRecord</T></TN><ToString>hello _x002D_</ToString><Props><S N="Source">x</S></Props></Obj></Objs>'
    )
    assert decode(text).streams == {"information": "hello -\n"}


def test_a_document_that_was_cut_is_read_as_far_as_it_goes() -> None:
    whole = document([("error", "first"), ("error", "second")])
    assert decode(whole[: whole.index("second") + 3]).text == "first"


def test_entities_expand_to_nothing_but_themselves() -> None:
    bomb = (
        '#< CLIXML\r\n<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        f'<Objs {NAMESPACE}><S S="Error">&b;&xxe;</S></Objs>'
    )
    assert "aaaaaaaaaaaaaaaaaaaa" not in decode(bomb).text
    assert decode(f'#< CLIXML\r\n<Objs {NAMESPACE}><S S="Error">&b;&amp;lt;</S></Objs>').text == "&b;&lt;"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a_x000D__x000A_b", "a\nb"),
        ("_x005F_x000A_", "_x000A_"),
        ("&lt;&gt;&amp;&quot;&apos;", "<>&\"'"),
        ("&#65;&#x42;", "AB"),
        ("_xD83C__xDF0D_", "🌍"),
        ("_xD83C_", "\ufffd"),
        ("_x00ZZ_", "_x00ZZ_"),
        ("&#99999999;", "&#99999999;"),
        ("&#1114112;", "\ufffd"),
    ],
)
def test_escapes_are_undone_once(text: str, meant: str) -> None:
    assert unescaped(text) == meant


@given(st.text())
def test_whatever_a_host_prints_is_read_without_an_error(text: str) -> None:
    decode(text)
    decode("#< CLIXML\r\n" + text)
    decode(f"#< CLIXML\r\n<Objs {NAMESPACE}>{text}</Objs>")


@given(
    st.lists(
        st.tuples(st.sampled_from(["error", "warning", "verbose"]), st.text(st.characters(exclude_categories=["Cs"])))
    )
)
def test_what_powershell_writes_is_what_is_read(records: list[tuple[str, str]]) -> None:
    found = decode(document(records)).streams
    for stream in ("error", "warning", "verbose"):
        texts = [text.replace("\r\n", "\n") for name, text in records if name == stream]
        said = "".join(text if stream == "error" or text.endswith("\n") else f"{text}\n" for text in texts)
        if "\r" not in said:
            assert found.get(stream, "") == said
