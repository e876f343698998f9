"""Names of the files that a run leaves in its folder."""

REPORT_NAME = "report.html"
SUMMARY_NAME = "summary.md"
