"""`python -m sparq_perf.records.export`: the JSON schema of a record line, as docs/records.schema.json holds it."""

import json

from sparq_perf.records.schema import json_schema


def schema_text() -> str:
    """The schema as the committed file's text."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
