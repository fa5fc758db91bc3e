"""DuckDB's side of script/bench fold: offered and answered by queue and half hour, by one group-by over a file of events.

Started with the file and the number of threads; runs the query once for each line that it reads, and answers each with one line of JSON:
{"version", "wall_s", "cpu_s", "counts": [[queue, interval start in ms, offered, answered], …]}.
Only the columns that the query needs are declared, with their types, so that nothing is inferred: of the ways tried (inferred types,
every column as text, read_ndjson_objects with JSON paths) the quickest.
"""

import json
import sys
import time

# The script's own name must not shadow the package that it runs.
sys.path.pop(0)
import duckdb  # noqa: E402

QUERY = """
SELECT data.queue AS queue,
       epoch_ms(time_bucket(INTERVAL 30 MINUTES, time)) AS start,
       count(*) FILTER (type = 'call.queued.v1') AS offered,
       count(*) FILTER (type = 'call.answered.v1') AS answered
FROM read_json(?, format = 'newline_delimited',
               columns = {type: 'VARCHAR', time: 'TIMESTAMP', data: 'STRUCT(queue VARCHAR)'})
WHERE type IN ('call.queued.v1', 'call.answered.v1')
GROUP BY ALL
"""


def main() -> None:
    path, threads = sys.argv[1], int(sys.argv[2])
    database = duckdb.connect(config={"threads": threads})
    for _ in sys.stdin:
        wall, cpu = time.monotonic(), time.process_time()
        counts = database.execute(QUERY, [path]).fetchall()
        took = {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu}
        print(json.dumps({"version": duckdb.__version__, **took, "counts": counts}), flush=True)


main()
