"""`python -m sparq_perf`."""

from sparq_perf.cli.main import main

main()
