"""``airnode transcribe``, without logic. Heavy modules are imported inside the command."""

import pathlib
import sys
from typing import Any

import click

from airnode.commands.config import loaded_or_exit
from airnode.commands.options import speech_options

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_FORMATS = ("txt", "srt", "vtt", "json")


@click.command(context_settings=_CONTEXT)
@click.argument("files", nargs=-1, type=click.Path(path_type=pathlib.Path))
@click.option("--language", metavar="CODE", default="", help="Spoken language, such as ko or en [default: detected].")
@click.option("--format", "formats", type=click.Choice(_FORMATS), multiple=True, help="Repeatable [default: txt].")
@click.option("--output", "-o", metavar="DIR", help="Where the results go; - for the terminal [default: beside FILE].")
@click.option("--prompt", default="", help="Words to expect, such as names and terms.")
@click.option("--translate", is_flag=True, help="Into English.")
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--watch", metavar="DIR", type=click.Path(path_type=pathlib.Path), help="Transcribe what comes into DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as a line of JSON for each file.")
@speech_options
def transcribe(
    files: tuple[pathlib.Path, ...],
    language: str,
    formats: tuple[str, ...],
    output: str | None,
    prompt: str,
    translate: bool,
    overwrite: bool,
    watch: pathlib.Path | None,
    as_json: bool,
    **params: Any,
) -> None:
    """Write down what is said in recordings, on this machine.

    FILE is sound or video of any usual format. The result of lecture.mp4 is lecture.txt beside it. Exit code 1: a file
    could not be transcribed, or a part of it.

    \b
    Examples:
      airnode transcribe lecture.mp4                                    lecture.txt beside it
      airnode transcribe *.m4a --language ko --format srt -o subtitles
      airnode transcribe lecture.mp4 -o - --format json | jq .text
      airnode transcribe --watch ~/recordings --format vtt              until Ctrl+C
    """  # click reads \b as "keep these lines"
    if bool(files) == (watch is not None):
        raise click.UsageError("Give files, or --watch DIR.")
    if as_json and output == "-":
        raise click.UsageError("--json and --output - both want the terminal.")
    from airnode.commands import transcribe_work

    wanted = transcribe_work.WantedText(language, formats or ("txt",), output, prompt, translate, overwrite, as_json)
    loaded = loaded_or_exit(params)
    try:
        sys.exit(transcribe_work.run(loaded, wanted, files, watch))
    except KeyboardInterrupt:
        sys.exit(0 if watch is not None else 130)
