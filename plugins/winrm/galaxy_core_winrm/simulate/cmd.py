"""A small, honest cmd.exe: its lines are translated for `/bin/sh`, which runs them.

Known: `&`, `&&`, `||`, `|`, parentheses, redirections, quotes, carets, %VAR% (expanded before the line is read, as cmd does),
the commands below, and every program of this machine, with its arguments split by the rules of the C runtime. Unknown, and
said so on standard error with exit code 1: `if`, `for`, `goto`, batch files, `set /a`, delayed expansion, `pushd`.
Folders are followed as the line is read, not as it runs: after `cd A || cd B`, both are taken to be entered.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping

from galaxy_core_winrm.simulate.cmd_grammar import CmdSyntaxError, Group, Line, Redirection, Simple, parsed
from galaxy_core_winrm.simulate.computer import Computer
from galaxy_core_winrm.simulate.powershell.command_line import split

VERSION = "Microsoft Windows [Version 10.0.20348.0]"
_CONTROL = {"&": b"; ", "&&": b" && ", "||": b" || ", "|": b" | "}
_UNKNOWN = frozenset(
    {"if", "for", "goto", "pushd", "popd", "setlocal", "endlocal", "shift", "assoc", "ftype", "mklink"}
)
_NAME = re.compile(r'\s*("[^"]*"|[^\s,;=/<>|&]+)')
_NO_FILE = "The system cannot find the file specified."
_NO_PATH = "The system cannot find the path specified."


def translated(
    text: str,
    environment: Mapping[str, str],
    folder: str,
    codepage: int,
    computer: Computer,
    found: Callable[[str], str | None],
) -> bytes:
    """The same for `/bin/sh -c`. `folder` is Windows' name of the current one; `found` looks a program up."""
    cmd = _Cmd(environment, folder, codepage, computer, found)
    expanded = computer.expanded(text, {**environment, "CD": folder})
    try:
        return cmd.line(parsed(expanded))
    except CmdSyntaxError as error:
        return cmd.complaint(str(error))


def _quoted(raw: bytes) -> bytes:
    return b"'" + raw.replace(b"'", b"'\\''") + b"'"


class _Cmd:
    def __init__(
        self,
        environment: Mapping[str, str],
        folder: str,
        codepage: int,
        computer: Computer,
        found: Callable[[str], str | None],
    ) -> None:
        self._environment, self._folder, self._computer, self._found = dict(environment), folder, computer, found
        self._codec = "utf-8" if codepage == 65001 else f"cp{codepage}"
        self._builtins: dict[str, Callable[[str], bytes]] = {
            "cd": self._cd, "chdir": self._cd, "chcp": lambda _: self._say(f"Active code page: {codepage}"),
            "cls": lambda _: b":", "copy": self._copy, "del": self._del, "erase": self._del, "dir": self._dir,
            "echo": self._echo, "exit": self._exit, "findstr": self._findstr, "hostname": self._hostname,
            "md": self._mkdir, "mkdir": self._mkdir, "more": lambda _: b"cat", "move": self._move, "ping": self._ping,
            "rd": self._rmdir, "rmdir": self._rmdir, "rem": lambda _: b":", "set": self._set, "sort": lambda _: b"sort",
            "start": self._start, "call": lambda rest: self._simple(Simple(rest)), "timeout": self._timeout,
            "title": lambda _: b":", "type": self._type, "ver": lambda _: self._say("", VERSION),
            "whoami": lambda _: self._say(f"{environment['USERDOMAIN']}\\{environment['USERNAME']}".lower()),
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------------- structure
    def line(self, line: Line) -> bytes:
        parts = [self._command(line.commands[0])]
        for operator, command in zip(line.operators, line.commands[1:], strict=True):
            parts += [_CONTROL[operator], self._command(command)]
        return b"".join(parts)

    def _command(self, command: Simple | Group) -> bytes:
        inner = b"{ " + self.line(command.line) + b"; }" if isinstance(command, Group) else self._simple(command)
        if not command.redirections:
            return inner
        return b"{ " + inner + b"; }" + b"".join(b" " + self._redirected(each) for each in command.redirections)

    def _redirected(self, to: Redirection) -> bytes:
        if to.to_handle:
            return f"{to.handle}{to.operator}&{to.target}".encode()
        target = "/dev/null" if to.target.lower() == "nul" else self._path(to.target)
        return f"{to.handle}{to.operator}{shlex.quote(target)}".encode()

    def _simple(self, command: Simple) -> bytes:
        text = command.text.lstrip()
        lowered = text.lower()
        if lowered.startswith("::"):
            return b":"
        for name, work in self._builtins.items():
            rest = text[len(name) :]
            # `echo.` and `cd\` have no blank; `echoes` is another program.
            if lowered.startswith(name) and (not rest or not (rest[0].isalnum() or rest[0] in "_-") or rest == ""):
                if rest[:4].lower() == ".exe":
                    rest = rest[4:]
                elif rest[:1] == "." and name not in {"echo", "cd"}:
                    continue
                return work(rest)
        return self._program(text)

    def _program(self, text: str) -> bytes:
        name = _NAME.match(text)
        plain = name[1].strip('"') if name else text
        if plain.lower() in _UNKNOWN:
            return self.complaint(f"The simulated cmd.exe does not know {plain!r}.")
        program = self._found(plain)
        if program is None:
            return self.complaint(
                f"'{plain}' is not recognized as an internal or external command,", "operable program or batch file."
            )
        words = split(text)
        # cmd takes `name/x` for the program with an argument; the C runtime does not see that.
        arguments = words[1:] if words[0] == plain else [words[0][len(plain) :], *words[1:]]
        return shlex.join([program, *arguments]).encode()

    # ------------------------------------------------------------------------------------------------------- telling
    def _say(self, *lines: str) -> bytes:
        raw = b"".join(line.encode(self._codec, "replace") + b"\r\n" for line in lines)
        return b"printf %s " + _quoted(raw)

    def complaint(self, *lines: str) -> bytes:
        return b"{ " + self._say(*lines) + b" >&2; false; }"

    def _path(self, name: str) -> str:
        return str(self._computer.path_of(name.strip().strip('"'), self._folder))

    def _guarded(self, work: str, otherwise: str) -> bytes:
        return f"{{ {work}; }} 2>/dev/null || ".encode() + self.complaint(otherwise)

    def _words(self, rest: str) -> tuple[list[str], set[str]]:
        """The arguments, and the switches among them in lower case."""
        words = split(f"x {rest}")[1:]
        switches = {word.lower() for word in words if word.startswith("/")}
        return [word for word in words if not word.startswith("/")], switches

    # ------------------------------------------------------------------------------------------------------- commands
    def _echo(self, rest: str) -> bytes:
        if not rest.strip():
            return self._say("ECHO is on." if not rest.startswith((".", ":", "(")) else "")
        if rest.strip().lower() in {"on", "off"}:
            return b":"
        return self._say(rest[1:])

    def _exit(self, rest: str) -> bytes:
        words = [word for word in rest.split() if word.lower() != "/b"]
        if not words:
            return b"exit"
        try:
            code = int(words[0])
        except ValueError:
            code = 0
        if 0 <= code <= 255:
            return f"exit {code}".encode()
        return f'printf %s {code} >"$SIMULATED_EXIT"; exit 255'.encode()

    def _set(self, rest: str) -> bytes:
        text = rest.strip()
        if text.startswith('"') and text.endswith('"') and len(text) > 1:
            text = text[1:-1]
        if text.startswith("/"):
            return self.complaint(f"The simulated cmd.exe does not know 'set {text.split()[0]}'.")
        name, equals, value = text.partition("=")
        if not equals:
            known = sorted(each for each in self._environment if each.startswith(name.upper()))
            if name and not known:
                return self.complaint(f"Environment variable {name} not defined")
            return self._say(*(f"{each}={self._environment[each]}" for each in known))
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            return self.complaint(f"The simulated cmd.exe cannot set {name!r}.")
        # A blank before the next operator belongs to the value, as it does on Windows.
        value = rest.lstrip().partition("=")[2] if not rest.strip().startswith('"') else value
        if not value:
            self._environment.pop(name.upper(), None)
            return f"unset {name.upper()}".encode()
        self._environment[name.upper()] = value
        return f"export {name.upper()}={shlex.quote(value)}".encode()

    def _cd(self, rest: str) -> bytes:
        target = re.sub(r"^\s*/d\b", "", rest, flags=re.I).strip().strip('"')
        if not target:
            # Where it really is, not where it was taken to be.
            drive = re.escape(str(self._computer.folder / "c"))
            return b"pwd | sed " + shlex.quote(f"s#^{drive}#C:#; s#/#\\\\#g; s#^C:$#C:\\\\#; s#$#\r#").encode()
        path = self._computer.path_of(target, self._folder)
        if path.is_relative_to(self._computer.folder) and path != self._computer.folder:
            self._folder = self._computer.windows_path(path)
        return self._guarded(f"cd -- {shlex.quote(str(path))}", _NO_PATH)

    def _type(self, rest: str) -> bytes:
        names, _ = self._words(rest)
        return self._guarded(shlex.join(["cat", "--", *map(self._path, names)]), _NO_FILE)

    def _dir(self, rest: str) -> bytes:
        names, switches = self._words(rest)
        path = self._path(names[0]) if names else self._path(".")
        listing = f"ls -1 -- {shlex.quote(path)}"
        lines = "printf '%s\\r\\n' \"$name\""
        listed = self._guarded(
            f'all=$({listing}) && printf %s "$all" | while IFS= read -r name || [ -n "$name" ]; do {lines}; done',
            "File Not Found",
        )
        if "/b" in switches:
            return listed
        shown = self._computer.windows_path(self._computer.path_of(names[0] if names else ".", self._folder))
        return self._say("", f" Directory of {shown}", "") + b"; " + listed

    def _mkdir(self, rest: str) -> bytes:
        names, _ = self._words(rest)
        return self._guarded(shlex.join(["mkdir", "-p", "--", *map(self._path, names)]), _NO_PATH)

    def _rmdir(self, rest: str) -> bytes:
        names, switches = self._words(rest)
        program = ["rm", "-r"] if "/s" in switches else ["rmdir"]
        return self._guarded(shlex.join([*program, "--", *map(self._path, names)]), _NO_FILE)

    def _del(self, rest: str) -> bytes:
        names, _ = self._words(rest)
        missing = "Could not find the file."
        return self._guarded(shlex.join(["rm", "--", *map(self._path, names)]), missing)

    def _copy(self, rest: str) -> bytes:
        return self._two("cp", rest, "        1 file(s) copied.")

    def _move(self, rest: str) -> bytes:
        return self._two("mv", rest, "        1 file(s) moved.")

    def _two(self, program: str, rest: str, said: str) -> bytes:
        names, _ = self._words(rest)
        if len(names) != 2:
            return self.complaint("The syntax of the command is incorrect.")
        work = shlex.join([program, "--", *map(self._path, names)])
        return b"{ " + self._guarded(work, _NO_FILE) + b"; } && " + self._say(said)

    def _hostname(self, _rest: str) -> bytes:
        return self._say(self._environment["COMPUTERNAME"])

    def _ping(self, rest: str) -> bytes:
        """The way to wait on Windows: `ping -n 6 127.0.0.1` takes five seconds. Answers are not imitated."""
        found = re.search(r"[-/]n\s+(\d+)", rest)
        return f"sleep {max(int(found[1]) if found else 4, 1) - 1}".encode()

    def _timeout(self, _rest: str) -> bytes:
        return self.complaint("ERROR: Input redirection is not supported, exiting the process immediately.")

    def _findstr(self, rest: str) -> bytes:
        words, switches = self._words(rest)
        pattern = words[0] if words else ""
        kind = "-F" if switches & {"/l"} or not set(pattern) & set("^$.*[]") else "-G"
        flags = [kind, *(["-i"] if "/i" in switches else []), *(["-v"] if "/v" in switches else [])]
        return shlex.join(["grep", *flags, "-e", pattern, "--", *map(self._path, words[1:])]).encode()

    def _start(self, rest: str) -> bytes:
        rest = re.sub(r'^\s*"[^"]*"', "", rest)
        rest = re.sub(r"^(\s*/\w+)+", "", rest)
        return b"{ " + self._simple(Simple(rest)) + b" & }"
