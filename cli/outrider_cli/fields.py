"""`outrider fields`: every field a rule may use, with its type, unit, source, and how well it is supplied."""

import argparse
import json

from outrider_sidecar.fields.catalogue import CATALOGUE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    rows = [
        {
            "name": field.shown,
            "type": field.type,
            "doc": field.doc,
            "unit": field.unit,
            "source": field.source,
            "events": sorted(field.events) if field.events is not None else None,
            "weaker": field.weaker,
            "lacking": field.lacking,
            "set_by_exec": field.set_by_exec,
        }
        for field in sorted(CATALOGUE, key=lambda field: field.shown)
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        unit = f" ({row['unit']})" if row["unit"] else ""
        source = f"  [{row['source']}]" if row["source"] else ""
        print(f"{row['name']!s:<42}{row['type']!s:<11}{row['doc']}{unit}{source}")
        for how in ("weaker", "lacking"):
            if row[how]:
                print(f"{'':<53}{how}: {row[how]}")
    return 0
