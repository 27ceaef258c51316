"""Turns Kafka Connect files into the bridge's commands: `python -m pipelines.migrate --help`.

`files` reads them and tells their kinds apart. `translate` makes one command of each connector: the
tables in `sink`, `source`, `connector`, `converters` and `worker` say what becomes of each setting,
`clients` which of several settings for Kafka clients holds, and what none of them takes is named as
unknown, so that nothing is dropped without a line. `show` prints it.
"""
