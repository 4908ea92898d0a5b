"""`outrider fields`: every field a rule may use, with its type, unit and source."""

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
        }
        for field in sorted(CATALOGUE, key=lambda field: field.shown)
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        source = f"  [{row['source']}]" if row["source"] else ""
        print(f"{row['name']!s:<28}{row['type']!s:<11}{row['doc']}{source}")
    return 0
