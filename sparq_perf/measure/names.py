"""Names of the files that a run leaves in its folder."""

RECORDS_NAME = "records.jsonl"
REPORT_NAME = "report.html"
SUMMARY_NAME = "summary.md"
