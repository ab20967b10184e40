"""What a task asks of its device, and how it takes other tasks' outputs."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core.errors import InputError
from galaxy_core.model.request import Action, Call, Command, Reference, Request, as_text
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.spec_documents import request_from_dict

RESULT = ExecutionResult(
    "facts",
    TaskStatus.COMPLETED,
    {"level": 80},
    stdout='{"cpu": {"cores": [4, 8]}}\n',
    stderr="careful",
    exit_code=0,
    files={"report.txt": "/collected/report.txt"},
)


# ----------------------------------------------------------------------------------------------- references
@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("stdout", '{"cpu": {"cores": [4, 8]}}\n'),
        ("stderr", "careful"),
        ("exit_code", 0),
        ("status", "completed"),
        ("value", {"level": 80}),
        ("json", {"cpu": {"cores": [4, 8]}}),
        ("json.cpu.cores[1]", 8),
        ("json.length(cpu.cores)", 2),
        ("file.report.txt", "/collected/report.txt"),
    ],
)
def test_a_reference_reads_one_output_of_a_task(value: str, found: object) -> None:
    assert Reference("facts", value).read(RESULT) == found


def test_a_reference_means_standard_output_unless_said_otherwise() -> None:
    assert Reference("facts").value == "stdout"
    assert str(Reference("facts", "json.a")) == "json.a of task 'facts'"


def test_the_json_of_what_has_no_output_is_its_payload() -> None:
    assert Reference("a", "json.level").read(ExecutionResult("a", "completed", {"level": 80})) == 80


def test_a_value_may_be_none() -> None:
    assert Reference("a", "value").read(ExecutionResult("a", "completed")) is None


@pytest.mark.parametrize(
    ("value", "result", "why"),
    [
        ("stdout", None, "that task has no result"),
        ("stdout", ExecutionResult("a", "completed"), "that task has no stdout"),
        ("exit_code", ExecutionResult("a", "completed"), "that task has no exit_code"),
        ("json", ExecutionResult("a", "completed", stdout="text"), "its standard output is not JSON"),
        ("json", ExecutionResult("a", "completed", stdout="[" * 100_000), "its standard output is not JSON"),
        ("json", ExecutionResult("a", "completed", stdout='{"a": NaN}'), "is not JSON: NaN is not a value in JSON"),
        ("json.b", ExecutionResult("a", "completed", stdout="[-Infinity]"), "-Infinity is not a value in JSON"),
        ("json.b", ExecutionResult("a", "completed", stdout='{"b": -1e400}'), "-1e400 is not a value in JSON"),
        ("json.nothing", RESULT, "'nothing' leads nowhere in its output"),
        ("json.[", RESULT, "cannot be evaluated"),
        ("json.length(`5`)", RESULT, "cannot be evaluated"),
        ("file.other", RESULT, "it left no file 'other'; collected: 'report.txt'"),
        ("file.other", ExecutionResult("a", "completed"), "collected: none"),
        ("stdout.more", RESULT, "allowed are stdout, stderr, exit_code, status, value, json, json.PATH and file.NAME"),
        ("__class__", RESULT, "allowed are "),
    ],
)
def test_a_reference_that_leads_nowhere_says_why(value: str, result: ExecutionResult | None, why: str) -> None:
    with pytest.raises(InputError) as caught:
        Reference("a", value).read(result)
    assert why in caught.value.why
    assert str(caught.value).startswith(f"input {value} of task 'a' cannot be had: ")


def cut(**metadata: Any) -> ExecutionResult:
    """The result of a task whose output was cut after two characters."""
    return ExecutionResult(
        "big", "completed", "[1", stdout="[1", stderr="no", exit_code=0, metadata={"truncated": True, **metadata}
    )


@pytest.mark.parametrize("value", ["stdout", "stderr", "json", "json.a", "value"])
def test_output_that_was_cut_is_not_passed_on(value: str) -> None:
    with pytest.raises(
        InputError, match=r"its std\w+ was cut after 2 characters; raise output_cap_bytes .* file.NAME$"
    ):
        Reference("big", value).read(cut())


def test_only_the_stream_that_was_cut_is_refused() -> None:
    result = cut(stdout_kept_bytes=2)
    assert Reference("big", "stderr").read(result) == "no"
    assert Reference("big", "exit_code").read(result) == 0
    with pytest.raises(InputError, match="its stdout was cut"):
        Reference("big", "stdout").read(result)
    assert Reference("big", "stdout").read(cut(stderr_kept_bytes=2)) == "[1"


def test_a_payload_of_its_own_is_not_what_was_cut() -> None:
    result = cut()
    result.result = {"level": 80}
    assert Reference("big", "value").read(result) == {"level": 80}


def test_the_refusal_of_cut_output_names_the_file_that_has_it_whole() -> None:
    result = cut(stdout_bytes=90, stdout_file_bytes=90)
    result.files = {"stdout.txt": "/kept/stdout.txt"}
    with pytest.raises(InputError, match=r"take the whole of it as a file, file\.stdout\.txt"):
        Reference("big", "json").read(result)
    assert Reference("big", "file.stdout.txt").read(result) == "/kept/stdout.txt"
    result.metadata["stdout_file_bytes"] = 60
    with pytest.raises(InputError, match=r"file.stdout.txt, .* has its first 60 bytes"):
        Reference("big", "file.stdout.txt").read(result)


@pytest.mark.parametrize(
    "path", ["[@,@][]|" * 24 + "@", "[@,@]|" * 24 + "@", "[" * 60 + "@" + "]" * 60, "a" * 1001, "[" + "@," * 300 + "@]"]
)
def test_a_path_that_would_never_come_to_its_end_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="cannot be evaluated"):
        Reference("a", f"json.{path}").read(RESULT)


@pytest.mark.parametrize(
    ("value", "text"),
    [("text\n", "text\n"), (8, "8"), (True, "true"), (None, "null"), (["é"], '["é"]'), ({1}, '"{1}"')],
)
def test_what_is_not_text_is_passed_as_json_writes_it(value: object, text: str) -> None:
    assert as_text(value) == text


# ----------------------------------------------------------------------------------------------- requests
def lookup(reference: Reference) -> Any:
    return {"facts": "Linux\n", "level": 80}[reference.task_id]


FACTS, LEVEL = Reference("facts"), Reference("level", "json.level")


def test_a_command_gets_outputs_without_trailing_newlines_and_standard_input_unchanged() -> None:
    command = Command(
        ["report", FACTS, "--level", LEVEL],
        env={"SYSTEM": FACTS, "LANG": "C"},
        stdin=FACTS,
        files={"facts.txt": FACTS, "plain.txt": "text"},
    )
    assert list(command.references) == [FACTS, LEVEL, FACTS, FACTS, FACTS]
    assert command.resolve(lookup) == Command(
        ["report", "Linux", "--level", "80"],
        env={"SYSTEM": "Linux", "LANG": "C"},
        stdin="Linux\n",
        files={"facts.txt": "Linux\n", "plain.txt": "text"},
    )


def test_nothing_is_substituted_into_a_shell_text() -> None:
    command = Command(None, "echo {from: facts}", stdin=FACTS)
    assert command.resolve(lookup).shell == "echo {from: facts}"


def test_an_action_and_a_call_get_values_as_they_are() -> None:
    assert Action("tap", {"x": LEVEL, "y": 2}).resolve(lookup) == Action("tap", {"x": 80, "y": 2})
    assert Call(max, (LEVEL, 2), {"key": FACTS}).resolve(lookup) == Call(max, (80, 2), {"key": "Linux\n"})


@pytest.mark.parametrize("request_", [Command(["ls"]), Action("tap", {"x": 1}), Call(len, ("text",))])
def test_a_request_without_references_is_itself(request_: Request) -> None:
    assert not request_.has_references
    assert request_.resolve(lookup) is request_


def test_a_command_is_either_a_list_or_a_shell_text() -> None:
    for arguments in ({}, {"argv": ["ls"], "shell": "ls"}):
        with pytest.raises(ValueError, match="give exactly one"):
            Command(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least the program"):
        Command([])


def test_a_string_is_no_list_of_arguments_or_names() -> None:
    with pytest.raises(TypeError, match=r"not the string 'ls -l'; a shell line is Command\(shell=...\)"):
        Command("ls -l")
    with pytest.raises(TypeError, match="outputs is a list of names, not the string 'report'"):
        Command(["ls"], outputs="report")


def test_a_request_does_not_change_with_what_it_was_made_of() -> None:
    argv, env = ["ls"], {"LANG": "C"}
    command, action, call = Command(argv, env=env), Action("tap", env), Call(len, kwargs=env)
    argv.append("-l")
    env["LANG"] = "de"
    assert command == Command(["ls"], env={"LANG": "C"})
    assert action.arguments == call.kwargs == {"LANG": "C"}


# ----------------------------------------------------------------------------------------------- documents
@pytest.mark.parametrize(
    ("request_", "written"),
    [
        (Command(["ls", FACTS]), {"run": ["ls", {"from": "facts", "value": "stdout"}]}),
        (Command(None, "ls | wc"), {"shell": "ls | wc"}),
        (
            Command(["ls"], None, "/srv", {"A": LEVEL}, "in", {"f": FACTS}, ["out"]),
            {
                "run": ["ls"],
                "cwd": "/srv",
                "env": {"A": {"from": "level", "value": "json.level"}},
                "stdin": "in",
                "files": {"f": {"from": "facts", "value": "stdout"}},
                "outputs": ["out"],
            },
        ),
        (Action("battery"), {"action": {"battery": {}}}),
        (
            Action("tap", {"x": LEVEL, "y": 2}),
            {"action": {"tap": {"x": {"from": "level", "value": "json.level"}, "y": 2}}},
        ),
    ],
)
def test_a_request_is_written_with_the_keys_of_a_plan_file_and_comes_back(
    request_: Request, written: dict[str, Any]
) -> None:
    assert request_.to_dict() == written
    assert request_from_dict(written) == request_


def test_a_reference_may_leave_its_value_out() -> None:
    assert request_from_dict({"run": ["cat", {"from": "facts"}]}) == Command(["cat", FACTS])


def test_a_call_is_written_by_its_name_and_does_not_come_back() -> None:
    assert Call(len).to_dict() == {"call": "builtins:len"}
    assert request_from_dict({"call": "builtins:len"}) is None


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ({}, "not none of them$"),
        ({"cwd": "/srv"}, "not none of them$"),
        ({"run": ["ls"], "shell": "ls"}, "not run and shell$"),
        ({"run": ["ls"], "action": {"tap": {}}}, "not run and action$"),
        ({"action": {"tap": {}}, "call": "m:f"}, "not action and call$"),
    ],
)
def test_a_document_that_is_not_exactly_one_request_is_refused(written: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        request_from_dict(written)


FETCH = Reference("fetch", "json.path")


@pytest.mark.parametrize(
    ("request_", "renamed"),
    [
        (
            Command(["x", FETCH, FACTS], env={"A": FETCH}, stdin=FETCH, files={"f": FETCH, "g": "/g"}, cwd="src"),
            {"fetch.2", "facts"},
        ),
        (Action("tap", {"at": FETCH, "deep": {"from": "fetch"}}), {"fetch.2"}),
        (Call(print, (FETCH, "fetch"), {"end": FACTS}), {"fetch.2", "facts"}),
        (Command(["fetch"], stdin="fetch"), set()),
    ],
)
def test_references_can_be_led_to_other_tasks_and_nothing_else_changes(request_: Request, renamed: set[str]) -> None:
    there = request_.renamed({"fetch": "fetch.2", "other": "x"})
    assert {reference.task_id for reference in there.references} == renamed
    assert there.renamed({"fetch.2": "fetch"}) == request_
    assert [reference.value for reference in there.references] == [one.value for one in request_.references]


def test_a_request_without_such_references_is_itself_when_they_are_led_elsewhere() -> None:
    command = Command(["x", FACTS])
    assert command.renamed({"fetch": "fetch.2"}) is command
