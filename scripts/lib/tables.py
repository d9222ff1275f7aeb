"""Reads the CSV files of runs."""
import csv
import io
import pathlib
import sys


def rows(path):
    """The rows as dictionaries, also of a file that a spreadsheet program has saved.

    A run writes a line at a time: a last line without its break is not whole and is left out, which stderr says.
    """
    text = pathlib.Path(path).read_bytes().decode("utf-8-sig")
    whole = text[:text.rfind("\n") + 1]
    if whole != text:
        print(f"{path}: the last line is not whole and was left out", file=sys.stderr)
    return list(csv.DictReader(io.StringIO(whole, newline=""), strict=True))
