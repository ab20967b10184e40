"""`galaxy graph`."""

from __future__ import annotations

from pathlib import PurePath

import click

from galaxy_core_cli import options, say

SUFFIXES = {".mmd": "mermaid", ".md": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg", ".txt": "mermaid"}


@click.command()
@options.plan
@click.option(
    "--format",
    "kind",
    type=click.Choice(["mermaid", "dot", "svg"]),
    help="Default: what the suffix of --output says, else mermaid.",
)
@options.output_file
@options.debug
def graph(plan: str, kind: str | None, output: str | None) -> int:
    """Draw a plan, for Mermaid, for Graphviz, or as an SVG picture.

    The picture needs no other program.

    Links are solid where the prerequisite must succeed, dashed or dotted where it need only end
    (on: completion, on: always), and of another colour where a condition decides. A picture has a legend.
    """
    suffix = PurePath(output or "").suffix.lower()
    if kind is None and suffix and suffix not in SUFFIXES:
        known = ", ".join(f"{ending} ({format})" for ending, format in SUFFIXES.items())
        raise say.WrongValueError(
            f"cannot tell the format from '{suffix}'; known are {known}; or say --format mermaid, dot or svg"
        )
    from galaxy_core_cli import files
    from galaxy_core_cli.drawing.dot import dot
    from galaxy_core_cli.drawing.mermaid import mermaid
    from galaxy_core_cli.drawing.svg import svg

    found = files.read_plan(plan)
    constellation = found.to_constellation()
    constellation.name = found.name or PurePath(plan).stem
    chosen = kind or SUFFIXES.get(suffix, "mermaid")
    drawn = {"mermaid": mermaid, "dot": dot, "svg": svg}[chosen]
    files.write("\n".join(drawn(constellation)), output)
    return 0
